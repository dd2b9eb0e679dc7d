/* SPDX-License-Identifier: MIT */
/* Between user.c and user_entry.S. */
#ifndef PV_SRC_USER_H
#define PV_SRC_USER_H

#include <stdint.h>

/* The kernel's stack in pv_user_enter, to be told to the TSS too; pv_user_enter calls this with it. */
void pv_user_entering(uint64_t kernel_stack);

/* Where SYSCALL enters. */
void pv_user_syscall(void);

#endif /* PV_SRC_USER_H */
