/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The I/O APIC as far as its pins go, for both tiers: full/ioapic.py is the reference, ioapic.c the short way. */
#ifndef PV_FULL_IOAPIC_STATE_H
#define PV_FULL_IOAPIC_STATE_H
#include <stdint.h>

typedef struct pv_ioapic {
    uint64_t entries[24];
    uint32_t levels;           /* of the pins, a bit each */
    uint32_t wire;             /* what the local APIC was told last of the virtual wire */
} pv_ioapic;
#endif
