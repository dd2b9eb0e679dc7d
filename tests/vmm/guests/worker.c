/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does what its command line says, one word after the other, the same in every mode. N is a decimal number.
 *   spin:N    run until N us of time have passed, and say how many rounds that were
 *   nap:N     sleep for N us, by the timer, and wake
 *   tick:N    let the timer come each N us from now on
 *   count:N   go round N times, whatever the time
 *   yield:N   give the CPU away N times
 *   say:WORD  print it
 *   idle      sleep, with nothing that wakes
 *   forever   run on and on
 *   crash     report a failure of its own
 *   exit:N    end with status N, not 0
 */
#include <pv/console.h>
#include <pv/cpu.h>
#include <pv/power.h>
#include <pv/printf.h>
#include <pv/start.h>
#include <pv/timer.h>

static volatile int n_ticks;

static void tick(void *context, struct pv_trap_frame *frame)
{
    (void)context, (void)frame;
    n_ticks++;
}

static void nap(uint64_t ns)
{
    int before = n_ticks;
    pv_interrupts_disable();
    pv_timer_set(ns, tick, NULL);
    while (n_ticks == before)
        pv_interrupts_wait();
    pv_interrupts_enable();
}

static unsigned long spin_until(uint64_t end_ns)
{
    unsigned long rounds = 0;
    while (pv_time_ns() < end_ns) {
        for (volatile int i = 0; i < 100; i++)
            ;
        rounds++;
    }
    return rounds;
}

static bool is_word(const char *at, const char *word)
{
    while (*word != '\0')
        if (*at++ != *word++)
            return false;
    return *at == '\0' || *at == ' ' || *at == ':';
}

static uint64_t number_in(const char *at)
{
    uint64_t number = 0;
    while (*at != ':' && *at != ' ' && *at != '\0')
        at++;
    for (at += *at == ':'; *at >= '0' && *at <= '9'; at++)
        number = 10 * number + (uint64_t)(*at - '0');
    return number;
}

static void say(const char *at)
{
    for (at += 4; *at != ' ' && *at != '\0'; at++)
        pv_putc(*at);
    pv_putc('\n');
}

static void act(const char *at)
{
    uint64_t n = number_in(at);
    if (is_word(at, "spin"))
        pv_printf("%lu rounds\n", spin_until(n * 1000));
    else if (is_word(at, "nap"))
        nap(n * 1000);
    else if (is_word(at, "tick"))
        pv_timer_set_periodic(n * 1000, tick, NULL);
    else if (is_word(at, "count"))
        for (volatile uint64_t i = 0; i < n; i++)
            ;
    else if (is_word(at, "yield"))
        while (n--)
            pv_cpu_yield();
    else if (is_word(at, "say"))
        say(at);
    else if (is_word(at, "idle"))
        for (pv_interrupts_disable();;)
            pv_cpu_idle();
    else if (is_word(at, "forever"))
        for (;;)
            pv_cpu_yield();
    else if (is_word(at, "crash"))
        pv_crash("as it was told");
    else if (is_word(at, "exit"))
        pv_exit((int)n);
}

int main(void)
{
    const char *at = pv_cmdline();
    for (;;) {
        while (*at == ' ')
            at++;
        if (*at == '\0')
            return 0;
        act(at);
        while (*at != ' ' && *at != '\0')
            at++;
    }
}
