/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An exception that has no handler ends the guest where it happened, though another exception has one. */
#include <pv/interrupt.h>
#include <pv/printf.h>

static void nobody(struct pv_trap_frame *frame)
{
    (void)frame;
}

int main(void)
{
    pv_trap_set(PV_TRAP_DIVIDE, nobody);
    pv_printf("now\n");
    __asm__ volatile("ud2");
    pv_printf("not reached\n");
    return 0;
}
