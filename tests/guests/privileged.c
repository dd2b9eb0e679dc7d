/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Executes CLI: a PC kernel may, a paravirtualized one may not. */
#include <pv/console.h>

int main(void)
{
    pv_puts("cli");
    __asm__ volatile("cli");
    pv_puts("done");
    return 0;
}
