/* SPDX-License-Identifier: MIT */
/*
 * The console by a ring, which para and hybrid guests have. pv/console.h needs none of this: without it each pv_write
 * is a hypercall, and so is each pv_getc. With it, output of any length takes one signal, and input is put into the
 * guest's memory as it comes.
 */
#ifndef PV_CONSOLE_RING_H
#define PV_CONSOLE_RING_H

/*
 * Let the functions of pv/console.h use the ring from now on; a second call has no effect. Blocks until the backend
 * answers. A handler that pv_console_on_input has set before is to be set again.
 *
 * From now on pv_write blocks until the backend has taken all of it, and fails with -PV_EIO when the backend does, or
 * is gone. Neither this function nor, from now on, those of pv/console.h may be called from an interrupt handler,
 * unless interrupts are disabled around all others; but the handler of pv_console_on_input may call pv_getc if nobody
 * else does.
 *
 * Returns 0; -PV_ENODEV: there is no such device; -PV_EIO: it does not connect. After an error all is as it was before.
 */
int pv_console_connect(void);

#endif /* PV_CONSOLE_RING_H */
