/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC in C: its hot registers, interrupts that the CPU sends to itself, and what the other controllers
 * send it. Errors, NMIs, messages to others and the ends of level interrupts are left to full/apic.py.
 */
#include "full/native/controllers.h"

enum {
    ID = 0x20, VERSION = 0x30, TPR = 0x80, PPR = 0xa0, EOI = 0xb0, LDR = 0xd0, DFR = 0xe0, SVR = 0xf0,
    ISR = 0x100, TMR = 0x180, IRR = 0x200, ESR = 0x280, ICR_LOW = 0x300, ICR_HIGH = 0x310, LVT_FIRST = 0x320,
    LVT_LAST = 0x370, INITIAL_COUNT = 0x380, CURRENT_COUNT = 0x390, DIVIDE = 0x3e0,
};
enum { VERSION_VALUE = 0x00050014, ICR_WRITABLE = 0x000ccfff, SVR_ENABLE = 1 << 8, FIRST_VECTOR = 16 };
enum { LVT_LINT0 = 3, MASKED = 1 << 16, LEVEL = 1 << 15, LOGICAL = 1 << 11 };
enum { FIXED = 0, LOWEST_PRIORITY = 1, NMI = 4, EXTINT = 7 };
enum { TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS };

/* The highest vector whose bit is set, or -1. */
static int highest(const uint32_t bits[8])
{
    for (int i = 7; i >= 0; i--)
        if (bits[i])
            return 32 * i + 31 - __builtin_clz(bits[i]);
    return -1;
}

/* PPR: the higher of task priority and what is in service (SDM 3A 10.8.3.1). */
static uint32_t processor_priority(const pv_apic *apic)
{
    int in_service = highest(apic->isr);
    if (in_service < 0 || apic->tpr >> 4 >= (uint32_t)in_service >> 4)
        return apic->tpr;
    return (uint32_t)in_service & 0xf0;
}

static bool is_deliverable(const pv_apic *apic)
{
    return highest(apic->irr) >> 4 > (int)(processor_priority(apic) >> 4);
}

/* What the CPU's line should be. */
void apic_update(pv_apic *apic)
{
    uint32_t lint0 = apic->lvt[LVT_LINT0];
    apic->extint = apic->virtual_wire || (apic->lint[0] && !(lint0 & MASKED) && (lint0 >> 8 & 7) == EXTINT);
    apic->is_asserted = apic->is_enabled ? apic->extint || is_deliverable(apic) : apic->lint[0];
}

/* --- registers */

/* EOI of an edge interrupt; after a level interrupt the I/O APIC is told. */
static int end_of_interrupt(pv_apic *apic)
{
    int vector = highest(apic->isr);
    if (vector < 0)
        return 1;
    uint32_t bit = 1u << (vector & 31);
    if (apic->tmr[vector >> 5] & bit)
        return 0;
    apic->isr[vector >> 5] &= ~bit;
    apic_update(apic);
    return 1;
}

/* Is this APIC meant? (SDM 3A 10.6.2) */
static bool is_addressed(const pv_apic *apic, uint32_t destination, bool is_logical)
{
    uint32_t mine = apic->ldr >> 24;
    if (destination == 0xff)
        return true;
    if (!is_logical)
        return destination == apic->id >> 24;
    if (apic->dfr >> 28 == 0xf)
        return destination & mine;
    return (destination >> 4 == mine >> 4 || destination >> 4 == 0xf) && destination & mine & 0xf;
}

/* Sets IRR, and TMR by the trigger mode. */
void apic_accept(pv_apic *apic, uint32_t vector, bool is_level)
{
    uint32_t bit = 1u << (vector & 31), *tmr = &apic->tmr[vector >> 5];
    apic->irr[vector >> 5] |= bit;
    *tmr = is_level ? *tmr | bit : *tmr & ~bit;
}

/* ICR was written: a fixed interrupt of the CPU to itself. */
static int send_to_self(pv_apic *apic, uint32_t value)
{
    uint32_t vector = value & 0xff, shorthand = value >> 18 & 3;
    if ((value >> 8 & 7) != FIXED || vector < FIRST_VECTOR || shorthand == TO_OTHERS || !(apic->svr & SVR_ENABLE))
        return 0;
    if (shorthand == TO_DESTINATION && !is_addressed(apic, apic->icr_high >> 24, value & LOGICAL))
        return 0;
    apic->icr_low = value & ICR_WRITABLE;
    apic_accept(apic, vector, false);
    apic_update(apic);
    return 1;
}

int pv_apic_write(pv_apic *apic, uint32_t offset, uint32_t value)
{
    if (!apic->is_enabled)
        return 0;
    switch (offset) {
    case EOI: return end_of_interrupt(apic);
    case ICR_LOW: return send_to_self(apic, value);
    case ICR_HIGH: apic->icr_high = value & 0xff000000; return 1;
    case TPR:
        apic->tpr = value & 0xff;
        apic_update(apic);
        return 1;
    default: return 0;
    }
}

int pv_apic_read(const pv_apic *apic, uint32_t offset, uint64_t now_ns, uint32_t *value)
{
    if (!apic->is_enabled || offset & 15)
        return 0;
    switch (offset) {
    case ID: *value = apic->id; return 1;
    case VERSION: *value = VERSION_VALUE; return 1;
    case TPR: *value = apic->tpr; return 1;
    case PPR: *value = processor_priority(apic); return 1;
    case LDR: *value = apic->ldr; return 1;
    case DFR: *value = apic->dfr; return 1;
    case SVR: *value = apic->svr; return 1;
    case ESR: *value = apic->esr; return 1;
    case ICR_LOW: *value = apic->icr_low; return 1;
    case ICR_HIGH: *value = apic->icr_high; return 1;
    case INITIAL_COUNT: *value = apic->initial_count; return 1;
    case CURRENT_COUNT: *value = apic_current_count(apic, now_ns); return 1;
    case DIVIDE: *value = apic->divide; return 1;
    default: break;
    }
    if (offset >= ISR && offset < ESR) {
        const uint32_t *bank = offset < TMR ? apic->isr : offset < IRR ? apic->tmr : apic->irr;
        *value = bank[offset >> 4 & 7];
        return 1;
    }
    if (offset < LVT_FIRST || offset > LVT_LAST)
        return 0;
    *value = apic->lvt[(offset - LVT_FIRST) >> 4];
    return 1;
}

/* --- what the other controllers send, and the CPU's side */

/* The pin of the 8259's output. Python knows the entries that make other things of it than a virtual wire. */
void apic_lint0(struct controllers *c, bool level)
{
    pv_apic *apic = c->apic;
    uint32_t entry = apic->lvt[LVT_LINT0];
    if (!(entry & MASKED) && (entry >> 8 & 7) != EXTINT)
        c->odd = true;
    apic->lint[0] = level;
    apic_update(apic);
}

/* A message as an I/O APIC's entry has it. Was it accepted? */
bool apic_receive(struct controllers *c, uint64_t entry)
{
    pv_apic *apic = c->apic;
    uint32_t vector = entry & 0xff, mode = entry >> 8 & 7;
    if (!apic->is_enabled || !is_addressed(apic, (uint32_t)(entry >> 56), entry & LOGICAL))
        return false;
    if (mode == NMI || vector < FIRST_VECTOR) {
        c->odd = true;
        return false;
    }
    if ((mode != FIXED && mode != LOWEST_PRIORITY) || !(apic->svr & SVR_ENABLE))
        return false;
    apic_accept(apic, vector, entry & LEVEL);
    apic_update(apic);
    return true;
}

/* The interrupt-acknowledge cycle; the spurious vector when the request has gone away (SDM 3A 10.9). */
uint32_t apic_acknowledge(struct controllers *c)
{
    pv_apic *apic = c->apic;
    uint32_t vector;
    if (!apic->is_enabled)
        return pic_acknowledge(c);
    if (is_deliverable(apic)) {
        vector = (uint32_t)highest(apic->irr);
        apic->irr[vector >> 5] &= ~(1u << (vector & 31));
        apic->isr[vector >> 5] |= 1u << (vector & 31);
    } else if (apic->extint) {
        vector = pic_acknowledge(c);
    } else {
        vector = apic->svr & 0xff;
    }
    apic_update(apic);
    return vector;
}
