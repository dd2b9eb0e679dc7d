/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Never ends, and never leaves its own code after the first line. */
#include <pv/console.h>

int main(void)
{
    pv_puts("for ever");
    for (;;)
        __asm__ volatile("");
}
