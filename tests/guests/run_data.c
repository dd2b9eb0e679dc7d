/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs its own data, which is mapped not executable. */
#include <pv/console.h>

static unsigned char data[] = {0xc3}; /* RET */

int main(void)
{
    void (*volatile function)(void) = (void (*)(void))(unsigned long)data;
    pv_puts("running data");
    data[0] = 0xc3;
    function();
    pv_puts("came back");
    return 1;
}
