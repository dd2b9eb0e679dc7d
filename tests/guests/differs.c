/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Says which wing it is for, and ends with another status there: what a comparison must not accept. */
#include <pv/console.h>

int main(void)
{
    pv_puts("the same line");
#if PV_MODE_PARA
    pv_puts("para");
    return 2;
#else
    pv_puts("full");
    return 1;
#endif
}
