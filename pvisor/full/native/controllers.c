/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The interrupt controllers together: their wiring, and changes that are taken back where they lead too far. */
#include "full/native/controllers.h"

enum { PIT_PIN = 2 };

bool begin_change(struct engine *e, struct controllers *c)
{
    c->pic = e->v.device[PV_DEVICE_PIC];
    c->apic = e->v.device[PV_DEVICE_APIC];
    c->ioapic = e->v.device[PV_DEVICE_IOAPIC];
    if (unlikely(!c->pic || !c->apic || !c->ioapic))
        return false;
    c->odd = false;
    c->pic_before = *c->pic;
    c->apic_before = *c->apic;
    c->ioapic_before = *c->ioapic;
    return true;
}

void take_back(struct controllers *c)
{
    *c->pic = c->pic_before;
    *c->apic = c->apic_before;
    *c->ioapic = c->ioapic_before;
}

/* The CPU's line is what the local APIC last said. */
void follow_apic(struct engine *e, const pv_apic *apic)
{
    if (e->v.event_pending != apic->is_asserted) {
        e->v.event_pending = apic->is_asserted;
        refresh_limit(e);
    }
}

bool end_change(struct engine *e, struct controllers *c)
{
    if (unlikely(c->odd)) {
        take_back(c);
        return false;
    }
    follow_apic(e, c->apic);
    return true;
}

/* An ISA interrupt goes to both; IRQ 0 is the I/O APIC's pin 2 (vmm/board.py). */
void set_isa_line(struct controllers *c, uint32_t irq, bool level)
{
    pic_set_level(c, irq, level);
    ioapic_set_line(c, irq ? irq : PIT_PIN, level);
}

/* The interrupt-acknowledge cycle. False: Python's. The CPU's line follows when the caller says `follow_apic`. */
bool acknowledge_natively(struct engine *e, struct controllers *c, uint32_t *vector)
{
    if (!begin_change(e, c))
        return false;
    *vector = apic_acknowledge(c);
    if (likely(!c->odd))
        return true;
    take_back(c);
    return false;
}
