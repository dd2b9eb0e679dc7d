/* SPDX-License-Identifier: MIT */
/* The timer by hypercall: one call sets it, in nanoseconds, and its interrupt is an event. */
#include <stdbool.h>
#include <stddef.h>

#include <pv/cpu.h>
#include <pv/error.h>
#include <pv/event.h>
#include <pv/hypercall.h>
#include <pv/timer.h>

#include "interrupt.h"

static pv_interrupt_handler *wanted;
static void *wanted_context;
static bool is_periodic;

static void on_interrupt(void *context, struct pv_trap_frame *frame)
{
    (void)context;
    pv_interrupt_handler *handler = wanted;
    if (!is_periodic)
        wanted = NULL;
    if (handler != NULL)
        handler(wanted_context, frame);
}

/* What was set comes no more: not even a signal that was given already. */
static void stop(void)
{
    wanted = NULL;
    pv_timer_once(0);
    pv_timer_periodic(0);
    pv_interrupt_forget(PV_SOURCE_TIMER);
}

static int set(bool periodic, uint64_t ns, pv_interrupt_handler *handler, void *context)
{
    static bool is_started;
    bool were_enabled = pv_interrupts_disable();
    stop();
    if (!is_started)
        pv_interrupt_set(PV_SOURCE_TIMER, on_interrupt, NULL);
    is_started = true;
    wanted = handler;
    wanted_context = context;
    is_periodic = periodic;
    if (periodic) {
        pv_timer_periodic(ns < PV_TIMER_MIN_PERIOD_NS ? PV_TIMER_MIN_PERIOD_NS : ns);
    } else {
        uint64_t now = pv_time_ns();
        pv_timer_once(ns > UINT64_MAX - now ? UINT64_MAX : now + ns);
    }
    pv_interrupts_restore(were_enabled);
    return 0;
}

int pv_timer_set(uint64_t delay_ns, pv_interrupt_handler *handler, void *context)
{
    return handler != NULL ? set(false, delay_ns, handler, context) : -PV_EINVAL;
}

int pv_timer_set_periodic(uint64_t period_ns, pv_interrupt_handler *handler, void *context)
{
    return handler != NULL && period_ns != 0 ? set(true, period_ns, handler, context) : -PV_EINVAL;
}

void pv_timer_cancel(void)
{
    bool were_enabled = pv_interrupts_disable();
    stop();
    pv_interrupts_restore(were_enabled);
}
