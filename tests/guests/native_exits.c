/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes, N times (first word of the command line), the exits that have a handler in C: no-op calls, or CLI and STI, and
 * what a byte on its way through the UART takes.
 */
#include <pv/console.h>
#if PV_MODE_PARA
#include <pv/hypercall.h>
#endif

#include "arguments.h"

int main(void)
{
    unsigned long n = argument(0, 100);
    for (unsigned long i = 0; i < n; i++) {
#if PV_MODE_PARA
        pv_noop();
#else
        __asm__ volatile("cli; sti; mov $0x3fd, %%dx; inb %%dx, %%al; mov $0x3f8, %%dx; mov $'.', %%al; outb %%al, %%dx"
                         ::: "eax", "edx", "memory");
#endif
    }
    pv_puts("done");
    return 0;
}
