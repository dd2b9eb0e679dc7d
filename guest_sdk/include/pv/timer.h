/* SPDX-License-Identifier: MIT */
/*
 * The timer: a call back once, or again and again. Full and hybrid: channel 0 of the 8254. Para: the timer hypercalls
 * and their event.
 *
 * There is one timer. Its handler runs as an interrupt handler does (pv/interrupt.h), once interrupts are enabled;
 * times count from the call that sets it. A callback is never early, and late by what the guest itself keeps it away.
 * Full counts in steps of 838 ns, and begins anew each 55 ms of a longer time; para counts nanoseconds.
 *
 * No function here waits; each may be called anywhere, the handler included.
 */
#ifndef PV_TIMER_H
#define PV_TIMER_H

#include <stdint.h>

#include <pv/interrupt.h>

/*
 * Call HANDLER with CONTEXT once, DELAY_NS from now; 0: as soon as it can be. Replaces what was set. Returns 0;
 * -PV_EINVAL: HANDLER is NULL.
 */
int pv_timer_set(uint64_t delay_ns, pv_interrupt_handler *handler, void *context);

/*
 * Call HANDLER with CONTEXT every PERIOD_NS, first one period from now. Replaces what was set. Periods do not add up
 * their errors; those that the guest lets pass with interrupts disabled are made up for by one callback. Para: a period
 * of less than PV_TIMER_MIN_PERIOD_NS becomes that. Returns 0; -PV_EINVAL: HANDLER is NULL, or PERIOD_NS is 0.
 */
int pv_timer_set_periodic(uint64_t period_ns, pv_interrupt_handler *handler, void *context);

/* No callback any more, not even one that is due. */
void pv_timer_cancel(void);

#endif /* PV_TIMER_H */
