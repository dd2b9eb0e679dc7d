/* SPDX-License-Identifier: MIT */
/*
 * Hello, in either wing: prints a banner, a sum and some numbers, and switches off with status 0. Nothing in here
 * knows whether the guest is virtualized fully or paravirtualized; only the library below does.
 */
#include <pv/console.h>
#include <pv/printf.h>

static unsigned long sum_to(unsigned long last)
{
    unsigned long sum = 0;
    for (unsigned long i = 1; i <= last; i++)
        sum += i;
    return sum;
}

int main(void)
{
    pv_puts("Hello! This is a guest, alive and well.");
    pv_printf("The numbers from 1 to 1000 add up to %lu.\n", sum_to(1000));
    pv_printf("One number, four ways: %d, %#x, [%08d], [%-8d]\n", 2026, 2026, 2026, 2026);
    pv_puts("Goodbye.");
    return 0;
}
