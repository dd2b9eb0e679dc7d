/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes more at once than one CONSOLE_WRITE takes. */
#include <pv/console.h>
#include <pv/printf.h>
#include <pv/string.h>

static char text[100000];

int main(void)
{
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\n';
    pv_printf("written: %ld\n", pv_write(text, sizeof text));
    return 0;
}
