/* SPDX-License-Identifier: MIT */
/*
 * What makes a kernel do something else than what it was doing: exceptions, which its own code raises, and interrupts, which
 * come when they will. Then the oldest mistake about the latter, the lost wake-up, with a watchdog that saves it.
 */
#include <stdbool.h>
#include <stddef.h>

#include <pv/cpu.h>
#include <pv/interrupt.h>
#include <pv/printf.h>
#include <pv/timer.h>

/* second_cpu.c: start another virtual CPU and exchange signals with it; without a word where there is none. */
void second_cpu(void);

#define US 1000ull
#define MS 1000000ull

/* Functions that are called once, and still are not to vanish in main. */
#define WATCHED __attribute__((noinline))

static unsigned n_breakpoints, n_divisions, n_invalid;

static void at_breakpoint(struct pv_trap_frame *frame)
{
    (void)frame; /* it goes on behind the instruction by itself */
    n_breakpoints++;
}

static void at_division(struct pv_trap_frame *frame)
{
    n_divisions++;
    frame->rip += 2; /* divb %cl is two bytes long: without this it would be tried again for ever */
}

static void at_invalid(struct pv_trap_frame *frame)
{
    n_invalid++;
    frame->rip += 2; /* ud2 */
}

WATCHED void raise_traps(void)
{
    for (int i = 0; i < 10; i++) {
        __asm__ volatile("int3");
        __asm__ volatile("divb %%cl" : : "a"(1), "c"(0) : "cc");
        __asm__ volatile("ud2");
    }
}

static void traps(void)
{
    pv_trap_set(PV_TRAP_BREAKPOINT, at_breakpoint);
    pv_trap_set(PV_TRAP_DIVIDE, at_division);
    pv_trap_set(PV_TRAP_INVALID, at_invalid);
    raise_traps();
    pv_printf("traps: %u breakpoints, %u divisions by zero, %u invalid instructions\n", n_breakpoints, n_divisions,
              n_invalid);
}

static volatile unsigned n_events;
static volatile bool is_saved;

static void on_event(void *context, struct pv_trap_frame *frame)
{
    (void)context, (void)frame;
    n_events++;
}

WATCHED void raise_enabled(void)
{
    for (int i = 0; i < 10; i++)
        pv_interrupt_raise();
}

/* A signal says that there is something, not how often: until it is heard, more of them say nothing new. */
WATCHED void raise_disabled(void)
{
    pv_interrupts_disable();
    for (int i = 0; i < 10; i++)
        pv_interrupt_raise();
    pv_interrupts_enable();
}

WATCHED void enable_and_disable(void)
{
    for (int i = 0; i < 10; i++)
        pv_interrupts_restore(pv_interrupts_disable());
}

static void interrupts(void)
{
    pv_interrupt_set(PV_SOURCE_SELF, on_event, NULL);
    pv_interrupts_enable();
    raise_enabled();
    unsigned enabled = n_events;
    raise_disabled();
    pv_printf("raised 10 times, interrupts enabled: heard %u times; disabled: %u time\n", enabled, n_events - enabled);
    pv_interrupt_mask(PV_SOURCE_SELF);
    n_events = 0;
    pv_interrupt_raise();
    unsigned masked = n_events;
    pv_interrupt_unmask(PV_SOURCE_SELF);
    pv_printf("raised and masked: heard %u times; unmasked: %u time\n", masked, n_events);
    enable_and_disable();
}

static volatile unsigned n_ticks;

static void on_tick(void *context, struct pv_trap_frame *frame)
{
    (void)context, (void)frame;
    n_ticks++;
}

WATCHED void wait_for_ticks(unsigned n)
{
    pv_interrupts_disable();
    while (n_ticks < n)
        pv_interrupts_wait();
    pv_interrupts_enable();
}

static void timer(void)
{
    uint64_t start_ns = pv_time_ns();
    pv_timer_set(5 * MS, on_tick, NULL);
    wait_for_ticks(1);
    bool is_early = pv_time_ns() - start_ns < 5 * MS;
    pv_printf("timer: %u tick after 5 ms, %s\n", n_ticks, is_early ? "too early" : "not early");
    start_ns = pv_time_ns();
    pv_timer_set_periodic(500 * US, on_tick, NULL);
    wait_for_ticks(11);
    pv_timer_cancel();
    is_early = pv_time_ns() - start_ns < 10 * 499 * US; /* a PC's timer has steps of 838 ns */
    pv_printf("timer: 10 ticks more, one each half of a millisecond, %s\n", is_early ? "too early" : "not early");
}

static void on_watchdog(void *context, struct pv_trap_frame *frame)
{
    (void)context, (void)frame;
    is_saved = true;
}

static void report(const char *how)
{
    pv_timer_cancel();
    pv_printf("%s: woken by the %s\n", how, is_saved ? "watchdog, 5 ms late" : "event, at once");
}

static void begin(void)
{
    n_events = 0;
    is_saved = false;
    pv_timer_set(5 * MS, on_watchdog, NULL);
}

/* The event comes between the look and the sleep. Its handler runs, nothing is left to wake anybody, and we sleep. */
WATCHED void look_then_sleep(void)
{
    begin();
    if (n_events == 0) {
        pv_interrupt_raise(); /* here, of all moments */
        pv_cpu_idle();
    }
    report("look, then sleep");
}

/* Interrupts are off from before the look until the sleep itself lets them in: there is no moment between. */
WATCHED void look_and_sleep_in_one(void)
{
    begin();
    pv_interrupts_disable();
    if (n_events == 0) {
        pv_interrupt_raise(); /* the same moment */
        pv_interrupts_wait();
    }
    pv_interrupts_enable();
    report("look, and sleep in one step");
}

int main(void)
{
    traps();
    interrupts();
    timer();
    look_then_sleep();
    look_and_sleep_in_one();
    second_cpu();
    return 0;
}
