/* SPDX-License-Identifier: GPL-2.0-or-later */
/* RFLAGS as the guest sees it: its own IF and IOPL in place of the real ones (twin: full/interrupts.py). */
#include "full/native/cpu.h"

/* Bits that IRET can set: all but the reserved ones, and RF, which v.rf_insns stands for. */
enum { FLAGS_KEPT = 0x3e7fd5 };

uint64_t guest_rflags(struct engine *e)
{
    uint64_t flags = pv_get_rflags(&e->v) & ~(uint64_t)(RFLAGS_IF | RFLAGS_IOPL);
    if (e->v.rf_insns == e->v.insns)
        flags |= RFLAGS_RF;
    return flags | (e->v.virtual_if ? RFLAGS_IF : 0) | (uint64_t)cpu_of(e)->iopl << 12;
}

void set_guest_rflags(struct engine *e, uint64_t rflags)
{
    pv_vcpu *v = &e->v;
    bool was_masked = !v->virtual_if;
    v->virtual_if = (rflags & RFLAGS_IF) != 0;
    cpu_of(e)->iopl = rflags >> 12 & 3;
    pv_set_rflags(v, (rflags & FLAGS_KEPT & ~(uint64_t)RFLAGS_IOPL) | 2);
    if (was_masked && v->virtual_if && v->event_pending)
        refresh_limit(e); /* an event may have waited for it */
}
