/* SPDX-License-Identifier: MIT */
/* Between user.c and user_entry.S. */
#ifndef PV_SRC_USER_H
#define PV_SRC_USER_H

#include <stdint.h>

#include <pv/user.h>

/*
 * Go to ring 3: RIP, RSP, and RDI. Comes back, with interrupts disabled, with what pv_user_come_back is given. The
 * kernel's stack at that moment is stored in pv_user_kernel_stack.
 */
int64_t pv_user_enter(uint64_t rip, uint64_t rsp, uint64_t rdi);
_Noreturn void pv_user_come_back(int64_t result);

/* The kernel's stack in pv_user_enter, to be told to the TSS too; pv_user_enter calls this with it. */
void pv_user_entering(uint64_t kernel_stack);

/* Where SYSCALL enters, and what it calls. */
void pv_user_syscall(void);
int64_t pv_user_called(uint64_t number, const uint64_t arguments[6]);

/* Machine code that makes of a function's result the system call PV_USER_RETURN. */
extern const char pv_user_return_code[], pv_user_return_code_end[];

#endif /* PV_SRC_USER_H */
