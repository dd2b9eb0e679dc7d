/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jumps to address 0, where nothing is mapped. */
#include <stddef.h>

#include <pv/console.h>

int main(void)
{
    void (*volatile nowhere)(void) = NULL;
    pv_puts("jumping to 0");
    nowhere();
    pv_puts("came back");
    return 1;
}
