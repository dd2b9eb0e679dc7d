/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Waits by pv/cpu.h: an interrupt ends it; while interrupts are disabled nothing does, and pvisor ends the guest. */
#include <pv/cpu.h>
#include <pv/interrupt.h>
#include <pv/printf.h>
#include <pv/timer.h>

#define MS 1000000u

static volatile int n_ticks, n_raised;

static void tick(void *context, struct pv_trap_frame *frame)
{
    (void)context, (void)frame;
    n_ticks++;
}

static void raised(void *context, struct pv_trap_frame *frame)
{
    (void)context, (void)frame;
    n_raised++;
}

int main(void)
{
    pv_interrupt_set(PV_SOURCE_SELF, raised, NULL);
    pv_interrupts_enable();
    for (int i = 0; i < 3; i++) {
        pv_timer_set(MS, tick, NULL);
        pv_cpu_idle();
        pv_printf("ticks %d, enabled %d\n", n_ticks, pv_interrupts_enabled());
    }
    pv_interrupts_disable();
    pv_interrupt_raise();
    pv_timer_set(MS, tick, NULL);
    pv_printf("raised %d; idle, disabled\n", n_raised);
    pv_cpu_idle();
    pv_printf("woken: ticks %d, raised %d, enabled %d\n", n_ticks, n_raised, pv_interrupts_enabled());
    return 1;
}
