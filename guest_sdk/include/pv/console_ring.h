/* SPDX-License-Identifier: MIT */
/*
 * The console by a ring, which only a paravirtualized guest has. pv/console.h needs none of this: without it each
 * pv_write is a hypercall, and so is each pv_getc. With it, output of any length takes one signal, and input is put into
 * the guest's memory as it comes.
 */
#ifndef PV_CONSOLE_RING_H
#define PV_CONSOLE_RING_H

/*
 * Let the functions of pv/console.h use the ring from now on. Blocks until the backend answers. Not from an interrupt
 * handler, as from now on those of pv/console.h are not unless interrupts are disabled around all others. A handler that
 * pv_console_on_input has set is to be set again.
 * Returns 0; -PV_ENODEV: there is no such device; -PV_EIO: it does not connect.
 */
int pv_console_connect(void);

#endif /* PV_CONSOLE_RING_H */
