/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What x87 and SSE are like before anybody touched them, and after FNINIT. */
#include "pc.h"

int main(void)
{
    uint16_t control = 0, status = 0;
    uint32_t mxcsr = 0;
    write_cr4(read_cr4() | 0x600);
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    show("MXCSR", mxcsr);
    __asm__ volatile("fninit; fnstcw %0; fnstsw %1" : "=m"(control), "=m"(status));
    show("control word", control);
    show("status word", status);
    mxcsr = 0x9fc0;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    mxcsr = 0;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    show("MXCSR", mxcsr);
    return 0;
}
