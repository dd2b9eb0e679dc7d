/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes to its own code, which is mapped read-only. */
#include <pv/console.h>

int main(void)
{
    volatile unsigned char *code = (volatile unsigned char *)(unsigned long)main;
    pv_puts("writing to code");
    *code = 0x90;
    pv_puts("written");
    return 1;
}
