/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an example of the reference finds around it. It stands in `int example(void)`; what that returns is the guest's
 * exit status.
 */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <pv/hypercall.h>

/* What the guest was told at its start, and the shared page. */
extern const struct pv_start_info *start;
extern struct pv_shared_info *shared;

/* An unused frame of the guest's memory, by its number from 0 on: its address, physical and virtual. */
uint64_t frame(unsigned index);

/* Where the hypervisor may enter the kernel: ends the guest with status 0; second_cpu only with a C function's stack. */
extern const char trap_entry[], second_cpu[];

/* A stack for an entry. */
extern unsigned char second_stack[PV_PAGE_BYTES];

/* System time at the start, and a port that has been signalled, or 0 where there are no events. */
extern uint64_t now_ns;
extern uint32_t reply_port;

/* Ends the guest with status 1: an example that comes here has not done what it shows. */
void give_up(void);

/* For what an example leaves out. */
extern volatile int done;
void use(uint64_t number);
void handle(unsigned char byte);
void puts_prompt(void);

int example(void);

#endif /* EXAMPLE_H */
