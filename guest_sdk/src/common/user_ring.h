/* SPDX-License-Identifier: MIT */
/* Between user.c and the wings: the way to ring 3 and back. */
#ifndef PV_SRC_USER_RING_H
#define PV_SRC_USER_RING_H

#include <stdint.h>

#include <pv/user.h>

/* Make system calls and exceptions of user programs ready. Called once. */
void pv_user_ring_start(void);

/*
 * Go to ring 3: RIP, RSP, and RDI. Comes back, with interrupts disabled, with what pv_user_come_back is given. The
 * wing's entry code calls pv_user_called at each system call.
 */
int64_t pv_user_enter(uint64_t rip, uint64_t rsp, uint64_t rdi);
_Noreturn void pv_user_come_back(int64_t result);
int64_t pv_user_called(uint64_t number, const uint64_t arguments[6]);

#endif /* PV_SRC_USER_RING_H */
