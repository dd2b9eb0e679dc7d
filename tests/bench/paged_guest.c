/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sieve and the hash of compute_guest.c in a kernel of its own, under its own four-level tables. */
#include <pv/printf.h>

#include "../guests/arguments.h"
#include "compute_guest.c"

int main(void)
{
    pv_printf("%lx\n", (unsigned long)compute(argument(0, 1)));
    return 0;
}
