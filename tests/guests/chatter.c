/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Never stops talking. */
#include <pv/console.h>

int main(void)
{
    for (;;)
        pv_puts("and another thing");
}
