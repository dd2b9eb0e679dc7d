/* SPDX-License-Identifier: MIT */
/* What interrupt.c gives to the rest of the para wing. */
#ifndef PV_SRC_INTERRUPT_H
#define PV_SRC_INTERRUPT_H

#include <pv/interrupt.h>

/* Make the upcall ready; only the first call has an effect. */
void pv_interrupt_start(void);

/* User programs will run: their exceptions come to the kernel, whether they have a handler or not. */
void pv_interrupt_start_users(void);

/* A signal of SOURCE that has come and that nobody was told of is none. */
void pv_interrupt_forget(enum pv_source source);

/* Gets each exception of a user program that has no handler. */
extern void (*pv_user_faulted)(const struct pv_trap_frame *frame);

/* SOURCE is signalled at PORT: that of a device, whose own code allocates it. */
void pv_interrupt_adopt(enum pv_source source, uint32_t port);

#endif /* PV_SRC_INTERRUPT_H */
