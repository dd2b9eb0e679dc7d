/* SPDX-License-Identifier: MIT */
/* The part of the console that is the same in both wings. */
#include <pv/console.h>
#include <pv/printf.h>

void pv_putc(char c)
{
    pv_write(&c, 1);
}

long pv_puts(const char *s)
{
    return pv_printf("%s\n", s); /* text and newline in one write */
}
