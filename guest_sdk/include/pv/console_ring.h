/* SPDX-License-Identifier: MIT */
/*
 * The console by a ring, which only a paravirtualized guest has. pv/console.h needs none of this: without it each
 * pv_write is a hypercall, and input has to be asked for. With it, output of any length takes one signal, and input comes
 * by an interrupt.
 */
#ifndef PV_CONSOLE_RING_H
#define PV_CONSOLE_RING_H

#include <pv/interrupt.h>

/*
 * Let the functions of pv/console.h use the ring from now on. Blocks until the backend answers. Not from an interrupt
 * handler, as from now on those of pv/console.h are not unless interrupts are disabled around all others.
 * Returns 0; -PV_ENODEV: there is no such device; -PV_EIO: it does not connect.
 */
int pv_console_connect(void);

/*
 * Call HANDLER with CONTEXT by interrupt when input has come that pv_getc has not been asked for yet; NULL: nobody again.
 * Take all of it then: there is no further interrupt before pv_getc has returned -1.
 * Returns 0; -PV_ENODEV: pv_console_connect was not called, or has failed.
 */
int pv_console_on_input(pv_interrupt_handler *handler, void *context);

#endif /* PV_CONSOLE_RING_H */
