/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An event that comes before there is a vector for upcalls: it keeps none away that come later. */
#include <pv/event.h>
#include <pv/hypercall.h>
#include <pv/interrupt.h>
#include <pv/printf.h>

static unsigned n_calls;

static void came(void *context, struct pv_trap_frame *frame)
{
    (void)context, (void)frame;
    n_calls++;
}

int main(void)
{
    uint32_t early = (uint32_t)pv_event_bind_ipi(0), late = (uint32_t)pv_event_bind_ipi(0);
    pv_event_unmask(early);
    pv_event_send(early);
    pv_interrupts_enable();
    pv_event_set(late, came, NULL);
    for (unsigned i = 0; i < 3; i++)
        pv_event_send(late);
    pv_printf("calls: %u\n", n_calls);
    return 0;
}
