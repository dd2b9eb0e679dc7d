/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The timer by pv/timer.h. Never early is checked by the clock, whose rate is 1 GHz or more; how late is not. */
#include <pv/cpu.h>
#include <pv/error.h>
#include <pv/printf.h>
#include <pv/timer.h>

#define MS    1000000ull
#define TENTH (MS / 10)

static volatile int n_ticks, n_others;

static void tick(void *context, struct pv_trap_frame *frame)
{
    (void)frame;
    n_ticks += *(int *)context;
}

static void other(void *context, struct pv_trap_frame *frame)
{
    (void)context, (void)frame;
    n_others++;
}

static void again(void *context, struct pv_trap_frame *frame)
{
    tick(context, frame);
    if (n_ticks < 5)
        pv_timer_set(MS, again, context);
}

static void wait_until(volatile int *count, int n)
{
    while (*count < n)
        pv_interrupts_wait();
}

/* Wait so long with interrupts disabled, by a one-shot timer that nobody takes: until its time is over. */
static void let_pass(uint64_t ns)
{
    uint64_t end = pv_time_ns() + 4 * ns; /* the clock may run faster than 1 GHz */
    while (pv_time_ns() < end)
        pv_cpu_yield();
}

static void once(uint64_t delay_ns)
{
    int one = 1;
    n_ticks = 0;
    uint64_t before = pv_time_ns();
    pv_timer_set(delay_ns, tick, &one);
    wait_until(&n_ticks, 1);
    pv_printf("once, %lu us: not early %d\n", delay_ns / 1000, pv_time_ns() - before >= delay_ns);
}

int main(void)
{
    int one = 1;
    pv_printf("nobody: %d, %d, no period: %d\n", pv_timer_set(MS, NULL, NULL), pv_timer_set_periodic(MS, NULL, NULL),
              pv_timer_set_periodic(0, tick, &one));
    once(0);
    once(10000);
    once(3 * MS);
    once(120 * MS);

    uint64_t before = pv_time_ns();
    n_ticks = 0;
    pv_timer_set_periodic(2 * MS, tick, &one);
    wait_until(&n_ticks, 10);
    pv_printf("ten times 2 ms: not early %d\n", pv_time_ns() - before >= 20 * MS - 838);
    pv_timer_set(5 * MS, other, NULL);
    wait_until(&n_others, 1);
    pv_printf("replaced: %d\n", n_ticks);
    n_ticks = 0;
    before = pv_time_ns();
    pv_timer_set_periodic(100 * MS, tick, &one);
    wait_until(&n_ticks, 2);
    pv_printf("twice 100 ms: not early %d\n", pv_time_ns() - before >= 200 * MS - 10 * 838);
    pv_timer_cancel();

    n_ticks = 0;
    pv_timer_set(MS, again, &one);
    wait_until(&n_ticks, 5);
    pv_printf("set by its own handler: %d\n", n_ticks);

    n_ticks = n_others = 0;
    pv_timer_set(TENTH, tick, &one);
    let_pass(3 * TENTH);
    pv_timer_cancel();
    pv_timer_set(4 * TENTH, other, NULL);
    wait_until(&n_others, 1);
    pv_printf("due, but cancelled: %d\n", n_ticks);
    pv_timer_set(TENTH, tick, &one);
    let_pass(3 * TENTH);
    pv_timer_set(4 * TENTH, other, NULL);
    wait_until(&n_others, 2);
    pv_printf("due, but replaced: %d\n", n_ticks);
    pv_timer_set(TENTH, tick, &one);
    let_pass(3 * TENTH);
    pv_timer_set(TENTH, other, NULL);
    let_pass(3 * TENTH);
    wait_until(&n_others, 3);
    pv_printf("both due: %d, %d\n", n_ticks, n_others);
    pv_interrupt_mask(PV_SOURCE_TIMER);
    pv_timer_set(TENTH, tick, &one);
    pv_interrupts_enable();
    let_pass(3 * TENTH);
    pv_printf("masked: %d\n", n_ticks);
    pv_interrupt_unmask(PV_SOURCE_TIMER);
    pv_interrupts_disable();
    wait_until(&n_ticks, 1);
    pv_printf("unmasked: %d\n", n_ticks);
    return 0;
}
