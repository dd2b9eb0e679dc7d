/* SPDX-License-Identifier: MIT */
/*
 * The console: bytes out, bytes in. Full: the 16550 UART at I/O port 0x3f8. Para and hybrid: CONSOLE_WRITE and
 * CONSOLE_READ, or a ring (pv/console_ring.h). Bytes go out as they are; a newline is one '\n'.
 *
 * Each function may be called anywhere, from handlers too, unless the ring is used; in full the text of a handler may
 * then stand in the middle of what it has interrupted.
 */
#ifndef PV_CONSOLE_H
#define PV_CONSOLE_H

#include <stddef.h>

#include <pv/interrupt.h>

/*
 * Write SIZE bytes from BUF. Blocks until they are taken: by the UART, which is waited for in a loop, or by the
 * hypervisor, which takes them at once. Returns how many were written, which is all of them unless a negative error,
 * such as -PV_EFAULT, comes first. A wild BUF is an error in para and hybrid, where the hypervisor looks at it; in full
 * the guest itself reads it, and so the page fault is the guest's own.
 */
long pv_write(const void *buf, size_t size);

/* Write one character, as pv_write does. An error is not told. */
void pv_putc(char c);

/* Write the string S and a newline, as pv_write does. Returns the number of bytes written or a negative error. */
long pv_puts(const char *s);

/* The next byte of input, 0 to 255, or -1 when there is none now. Never waits. */
int pv_getc(void);

/*
 * Call HANDLER with CONTEXT by interrupt when there is input, also when it has come before; NULL: nobody again. One
 * call may stand for several bytes: take bytes with pv_getc until there is none, or there may be no other call. Full:
 * the UART's interrupt. Para and hybrid: PV_VIRQ_CONSOLE, or the ring's event. Never waits. Returns 0; -PV_ENODEV: this
 * machine cannot tell.
 */
int pv_console_on_input(pv_interrupt_handler *handler, void *context);

#endif /* PV_CONSOLE_H */
