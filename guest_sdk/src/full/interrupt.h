/* SPDX-License-Identifier: MIT */
/* What interrupt.c gives to the rest of the full wing. */
#ifndef PV_SRC_INTERRUPT_H
#define PV_SRC_INTERRUPT_H

#include <pv/interrupt.h>

/* Make the IDT and the interrupt controllers ready; only the first call has an effect. */
void pv_interrupt_start(void);

/*
 * For a device whose interrupts are messages to the local APIC: the vector at which HANDLER is called, with interrupts
 * disabled, after the end of the interrupt was told. There is one such vector. 0: this machine has no local APIC.
 */
uint8_t pv_interrupt_vector(void (*handler)(struct pv_trap_frame *frame));

/* SOURCE comes by such messages, not by a line to the 8259 pair; SET_MASK keeps it away and lets it come again. */
void pv_interrupt_by_message(enum pv_source source, void (*set_mask)(enum pv_source source, bool is_masked));

/* The device of SOURCE has signalled. */
void pv_interrupt_message(enum pv_source source, struct pv_trap_frame *frame);

/* Gets each exception of a user program that has no handler. */
extern void (*pv_user_faulted)(const struct pv_trap_frame *frame);

#endif /* PV_SRC_INTERRUPT_H */
