/* SPDX-License-Identifier: GPL-2.0-or-later */
/* BLOCK and POLL with an upcall that is due already, and no vector named for it: no interrupt comes of that. */
#include <pv/hypercall.h>
#include <pv/interrupt.h>
#include <pv/printf.h>

extern struct pv_shared_info *pv_shared;

int main(void)
{
    pv_interrupts_enable();
    for (int i = 0; i < 3; i++) {
        pv_shared->vcpu[0].upcall_pending = 1;
        pv_printf("block: %d\n", (int)pv_block());
        pv_printf("poll: %d\n", (int)pv_poll(NULL, 0, 0));
    }
    return 0;
}
