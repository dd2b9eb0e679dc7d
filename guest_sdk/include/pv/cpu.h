/* SPDX-License-Identifier: MIT */
/* The CPU, which is virtual CPU 0: waiting, giving way, and the time. */
#ifndef PV_CPU_H
#define PV_CPU_H

#include <stdint.h>

/*
 * Wait until an interrupt comes, and let its handler run. To be called with interrupts enabled, and they stay so; not
 * from a handler. While they are disabled nothing ends the wait, in any mode, and what has come before or comes
 * meanwhile has no handler run: to let interrupts in for just so long as one waits, there is pv_interrupts_wait
 * (pv/interrupt.h). Full and hybrid: HLT. Para: BLOCK; POLL for ever while upcalls are masked, which BLOCK would let
 * in. A guest that nothing can wake is ended by pvisor with status 124.
 */
void pv_cpu_idle(void);

/*
 * Let others run; returns at once or when they have had a turn: a wish, and no way to wait for anything. May be called
 * anywhere. Full and hybrid: PAUSE, a hint. Para: YIELD.
 */
void pv_cpu_yield(void);

/*
 * Nanoseconds since the start; never goes back. Never waits, and may be called anywhere. Full and hybrid: RDTSC, whose
 * rate is 1 GHz under pvisor and another on other machines, where the result counts that machine's ticks since its
 * reset. Para: RDTSC and the numbers in the shared page that turn it into nanoseconds, without a hypercall.
 */
uint64_t pv_time_ns(void);

#endif /* PV_CPU_H */
