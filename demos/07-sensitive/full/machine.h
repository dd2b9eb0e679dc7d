/* SPDX-License-Identifier: MIT */
/* A kernel's own tables, and its clock: what sensitive.c looks at. */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdint.h>

#if !PV_MODE_FULL
#error "a paravirtual guest has no tables and no flags of its own to look at: README.md says more"
#endif

enum { CODE = 0x08, DATA = 0x10, TASK = 0x18, LOCAL = 0x28 };                     /* selectors */
enum { IF_BIT = 9, IF = 1 << IF_BIT, IOPL_BIT = 12, IOPL = 3 << IOPL_BIT };       /* in RFLAGS */
enum { CR0_WP = 1 << 16 };

/* How often wait_for_the_clock looks: far longer than the clock takes to its first tick. */
#define PATIENCE 10000000u

struct table_register {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

extern uint64_t my_gdt[7], my_idt[2 * 33];
extern volatile uint32_t ticks; /* timer interrupts so far */

void use_own_tables(void); /* GDT, IDT, LDT and TSS, with interrupts off */
void start_clock(void);    /* a timer interrupt every millisecond, once IF is set */

#endif /* MACHINE_H */
