/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interrupt controllers together, as native handlers see them: 8259 pair, I/O APIC, local APIC, wired as
 * vmm/board.py does it.
 *
 * A change of one may reach all of them. So a handler keeps a copy of the three, does what is to be done, and where
 * that led to something out of the ordinary (`odd`) puts the copy back: then Python begins anew.
 */
#ifndef PV_FULL_CONTROLLERS_H
#define PV_FULL_CONTROLLERS_H
#include "cpu/shim/api.h"
#include "cpu/shim/shim.h"
#include "full/native/apic_state.h"
#include "full/native/ioapic_state.h"
#include "full/native/pic_state.h"

struct controllers {
    pv_pic *pic;
    pv_apic *apic;
    pv_ioapic *ioapic;
    bool odd;
    pv_pic pic_before;
    pv_apic apic_before;
    pv_ioapic ioapic_before;
};

/* False: this machine lacks one of them. */
bool begin_change(struct engine *e, struct controllers *c);
/* The CPU's line follows. False, and all is as before: something was odd. */
bool end_change(struct engine *e, struct controllers *c);
void take_back(struct controllers *c);
void follow_apic(struct engine *e, const pv_apic *apic);

/* --- apic.c */
void apic_update(pv_apic *apic);
void apic_accept(pv_apic *apic, uint32_t vector, bool is_level);
void apic_lint0(struct controllers *c, bool level);
bool apic_receive(struct controllers *c, uint64_t entry);
uint32_t apic_acknowledge(struct controllers *c);

/* --- apic_timer.c */
uint32_t apic_current_count(const pv_apic *apic, uint64_t now_ns);
bool apic_store(struct engine *e, pv_apic *apic, uint32_t offset, uint32_t value);

/* --- pic.c, ioapic.c */
void pic_set_level(struct controllers *c, uint32_t irq, bool level);
uint32_t pic_acknowledge(struct controllers *c);
void ioapic_set_line(struct controllers *c, uint32_t pin, bool level);

/* --- controllers.c */
void set_isa_line(struct controllers *c, uint32_t irq, bool level);
bool acknowledge_natively(struct engine *e, struct controllers *c, uint32_t *vector);
#endif
