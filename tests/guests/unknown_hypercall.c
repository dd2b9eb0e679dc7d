/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Para: makes a hypercall that does not exist, and prints its result. */
#include <pv/hypercall.h>
#include <pv/printf.h>

int main(void)
{
    pv_printf("hypercall 0x7f: %ld\n", (long)pv_hypercall0(0x7f));
    return 0;
}
