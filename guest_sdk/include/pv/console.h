/* SPDX-License-Identifier: MIT */
/*
 * The console: bytes out, bytes in. Full: the 16550 UART at I/O port 0x3f8. Para: CONSOLE_WRITE and CONSOLE_READ.
 * Bytes go out as they are; a newline is one '\n'.
 */
#ifndef PV_CONSOLE_H
#define PV_CONSOLE_H

#include <stddef.h>

#include <pv/interrupt.h>

/*
 * Write SIZE bytes from BUF. Returns how many were written, which is all of them unless a negative error, such as
 * -PV_EFAULT, comes first. A wild BUF is an error in para, where the hypervisor looks at it; in full the guest itself
 * reads it, and so the page fault is the guest's own.
 */
long pv_write(const void *buf, size_t size);

/* Write one character. */
void pv_putc(char c);

/* Write the string S and a newline. Returns the number of bytes written or a negative error. */
long pv_puts(const char *s);

/* The next byte of input, 0 to 255, or -1 when there is none now. Never waits. */
int pv_getc(void);

/*
 * Call HANDLER with CONTEXT by interrupt when there is input, also when it has come before; NULL: nobody again. One call
 * may stand for several bytes: take bytes with pv_getc until there is none, or there may be no other call. Full: the
 * UART's interrupt. Para: PV_VIRQ_CONSOLE. Returns 0; -PV_ENODEV: this machine cannot tell.
 */
int pv_console_on_input(pv_interrupt_handler *handler, void *context);

#endif /* PV_CONSOLE_H */
