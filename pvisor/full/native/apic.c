/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC's hot registers in C: end of interrupt, task priority, and reads of what is merely kept.
 * Whatever would move the CPU's interrupt line, or concerns another device, is left to full/apic.py.
 */
#include "api.h"

enum {
    ID = 0x20, VERSION = 0x30, TPR = 0x80, EOI = 0xb0, LDR = 0xd0, DFR = 0xe0, SVR = 0xf0,
    ICR_LOW = 0x300, ICR_HIGH = 0x310, LVT_FIRST = 0x320, LVT_LAST = 0x370, INITIAL_COUNT = 0x380,
};
enum { VERSION_VALUE = 0x00050014 };

/* The highest vector whose bit is set, or -1. */
static int highest(const uint32_t bits[8])
{
    for (int i = 7; i >= 0; i--)
        if (bits[i])
            return 32 * i + 31 - __builtin_clz(bits[i]);
    return -1;
}

/* The level that the CPU's line should have: SDM 3A 10.8.3, by priority classes of 16 vectors. */
static uint32_t wants_cpu(const pv_apic *apic)
{
    int requested = highest(apic->irr), in_service = highest(apic->isr);
    int barrier = (int)(apic->tpr >> 4 & 15);
    if (in_service >> 4 > barrier)
        barrier = in_service >> 4;
    return apic->extint || (requested >= 0 && requested >> 4 > barrier);
}

/* EOI of an edge interrupt after which nothing else is due. */
static int end_of_interrupt(pv_apic *apic)
{
    int vector = highest(apic->isr);
    if (vector < 0)
        return 1;
    uint32_t bit = 1u << (vector & 31), *word = &apic->isr[vector >> 5];
    if (apic->tmr[vector >> 5] & bit)
        return 0; /* a level interrupt: the I/O APIC is told */
    *word &= ~bit;
    if (wants_cpu(apic) == apic->is_asserted)
        return 1;
    *word |= bit;
    return 0;
}

static int set_task_priority(pv_apic *apic, uint32_t value)
{
    uint32_t before = apic->tpr;
    apic->tpr = value & 0xff;
    if (wants_cpu(apic) == apic->is_asserted)
        return 1;
    apic->tpr = before;
    return 0;
}

int pv_apic_write(pv_apic *apic, uint32_t offset, uint32_t value)
{
    if (!apic->is_enabled)
        return 0;
    if (offset == EOI)
        return end_of_interrupt(apic);
    return offset == TPR && set_task_priority(apic, value);
}

int pv_apic_read(const pv_apic *apic, uint32_t offset, uint32_t *value)
{
    if (!apic->is_enabled)
        return 0;
    switch (offset) {
    case ID: *value = apic->id; return 1;
    case VERSION: *value = VERSION_VALUE; return 1;
    case TPR: *value = apic->tpr; return 1;
    case LDR: *value = apic->ldr; return 1;
    case DFR: *value = apic->dfr; return 1;
    case SVR: *value = apic->svr; return 1;
    case ICR_LOW: *value = apic->icr_low; return 1;
    case ICR_HIGH: *value = apic->icr_high; return 1;
    case INITIAL_COUNT: *value = apic->initial_count; return 1;
    default: break;
    }
    if (offset < LVT_FIRST || offset > LVT_LAST || offset & 15)
        return 0;
    *value = apic->lvt[(offset - LVT_FIRST) >> 4];
    return 1;
}
