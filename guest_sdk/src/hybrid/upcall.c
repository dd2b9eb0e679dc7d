/* SPDX-License-Identifier: MIT */
/* Events as a PC gets them: an upcall is an interrupt of the local APIC, at a vector that is named by WRMSR. */
#include <pv/hypercall.h>

#include "../full/apic.h"
#include "../full/interrupt.h"
#include "../para/event.h"

/* Of the frontends (pv/net.h), which are the para wing's. */
void pv_interrupt_adopt(enum pv_source source, uint32_t port);
void pv_interrupt_forget(enum pv_source source);

static uint32_t ports[8];

static void set_mask(enum pv_source source, bool is_masked)
{
    if (is_masked)
        pv_event_mask(ports[source]);
    else
        pv_event_unmask(ports[source]);
}

static void signalled(void *context, struct pv_trap_frame *frame)
{
    pv_interrupt_message((enum pv_source)(uintptr_t)context, frame);
}

void pv_upcall_start(void)
{
    static bool is_started;
    if (is_started)
        return;
    is_started = true;
    uint8_t vector = pv_interrupt_vector(pv_event_dispatch);
    __atomic_store_n(&pv_shared->vcpu[0].upcall_mask, 0, __ATOMIC_SEQ_CST); /* the APIC and IF do that here */
    /* Last: it looks whether an upcall is due already. */
    __asm__ volatile("wrmsr" : : "c"(PV_MSR_UPCALL_VECTOR), "a"((uint32_t)vector), "d"(0) : "memory");
}

void pv_interrupt_adopt(enum pv_source source, uint32_t port)
{
    pv_upcall_start();
    ports[source] = port;
    pv_event_set(port, signalled, (void *)(uintptr_t)source);
    pv_event_mask(port);
    pv_interrupt_by_message(source, set_mask);
}

void pv_interrupt_forget(enum pv_source source)
{
    pv_event_take(ports[source]);
}
