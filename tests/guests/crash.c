/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gives up, three calls deep. */
#include <pv/power.h>

__attribute__((noinline)) static void inner(void)
{
    pv_crash("this guest gives up");
}

__attribute__((noinline)) static void middle(void)
{
    inner();
    __asm__ volatile("");
}

int main(void)
{
    middle();
    __asm__ volatile("");
    return 0;
}
