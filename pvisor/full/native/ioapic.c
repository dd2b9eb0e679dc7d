/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The I/O APIC's pins in C. Its registers are Python's: a guest sets them up and leaves them alone (full/ioapic.py). */
#include "full/native/controllers.h"

enum { MASKED = 1 << 16, LEVEL = 1 << 15, REMOTE_IRR = 1 << 14, EXTINT = 7 };

static bool is_extint(const pv_ioapic *io, uint32_t pin)
{
    return !(io->entries[pin] & MASKED) && (io->entries[pin] >> 8 & 7) == EXTINT;
}

static bool deliver(struct controllers *c, uint32_t pin)
{
    return !is_extint(c->ioapic, pin) && apic_receive(c, c->ioapic->entries[pin]);
}

/* Virtual wires follow a pin's level; a level interrupt is sent once an EOI. */
static void sense(struct controllers *c, uint32_t pin)
{
    pv_ioapic *io = c->ioapic;
    if (io->wire || is_extint(io, pin)) {
        io->wire = 0;
        for (uint32_t i = 0; i < 24; i++)
            io->wire |= is_extint(io, i) && io->levels >> i & 1;
        c->apic->virtual_wire = io->wire;
        apic_update(c->apic);
    }
    uint64_t entry = io->entries[pin];
    if (io->levels >> pin & 1 && entry & LEVEL && !(entry & (MASKED | REMOTE_IRR)) && deliver(c, pin))
        io->entries[pin] |= REMOTE_IRR;
}

void ioapic_set_line(struct controllers *c, uint32_t pin, bool level)
{
    pv_ioapic *io = c->ioapic;
    bool rises = level && !(io->levels >> pin & 1);
    io->levels = (io->levels & ~(1u << pin)) | (uint32_t)level << pin;
    if (rises && !(io->entries[pin] & (MASKED | LEVEL)))
        deliver(c, pin); /* an edge at a masked pin is ignored, not held */
    sense(c, pin);
}
