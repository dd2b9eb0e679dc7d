/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hands pv_write a pointer to where nothing is mapped. Para: an error, and the guest goes on. Full: the guest reads the
 * bytes itself, so the page fault is its own.
 */
#include <pv/console.h>
#include <pv/printf.h>

int main(void)
{
    pv_puts("writing from nowhere");
    pv_printf("pv_write: %ld\n", pv_write((const void *)0x4000000000, 5));
    return 0;
}
