/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Waits for an event, when there is nothing that could happen. */
#include <pv/console.h>
#include <pv/cpu.h>

int main(void)
{
    pv_puts("waiting");
    pv_cpu_idle();
    pv_puts("woken");
    return 1;
}
