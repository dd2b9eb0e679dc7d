/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads through a null pointer, three calls deep: a crash report's backtrace names inner, middle and main. */
#include <stddef.h>

#include <pv/printf.h>

__attribute__((noinline)) static int inner(const volatile int *pointer)
{
    return *pointer + 1;
}

__attribute__((noinline)) static int middle(const volatile int *pointer)
{
    return inner(pointer) * 2;
}

int main(void)
{
    const volatile int *volatile pointer = NULL;
    pv_printf("read: %d\n", middle(pointer));
    return 1;
}
