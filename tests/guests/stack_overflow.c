/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls itself until the stack is full: the next store hits the guard page below it. */
#include <pv/console.h>

static int deeper(volatile char *above)
{
    volatile char room[1024];
    if (above[0] == 0) /* it never is */
        return 0;
    room[0] = above[0];
    return deeper(room) + room[0];
}

int main(void)
{
    volatile char first = 1;
    pv_puts("writing below the stack");
    return deeper(&first);
}
