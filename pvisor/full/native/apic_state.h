/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local APIC's registers, for both tiers: full/apic.py is the reference, apic.c the short way. */
#ifndef PV_FULL_APIC_STATE_H
#define PV_FULL_APIC_STATE_H
#include <stdint.h>

typedef struct pv_apic {
    uint64_t base;             /* of its page, guest-physical */
    uint32_t is_enabled;       /* IA32_APIC_BASE bit 11 */
    uint32_t is_asserted;      /* what the CPU's interrupt line was told last */
    uint32_t extint;           /* an 8259 asks through a wire of delivery mode ExtINT */
    uint32_t id;               /* the registers, as they are read (SDM 3A table 10-1) */
    uint32_t tpr;
    uint32_t ldr;
    uint32_t dfr;
    uint32_t svr;
    uint32_t esr;
    uint32_t errors;           /* collected since ESR was written last */
    uint32_t icr_low;
    uint32_t icr_high;
    uint32_t lvt[6];           /* timer, thermal, performance counters, LINT0, LINT1, error */
    uint32_t initial_count;
    uint32_t divide;
    uint32_t isr[8];           /* one bit a vector */
    uint32_t tmr[8];
    uint32_t irr[8];
    uint32_t lint[2];          /* the level of each pin */
    uint32_t virtual_wire;     /* an 8259's request that comes by the I/O APIC */
    uint32_t count;            /* of the timer, at since_ns; 0: stopped */
    uint32_t deadline;         /* the number of the timer's own deadline */
    uint64_t since_ns;
} pv_apic;
#endif
