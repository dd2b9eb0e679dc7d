/* SPDX-License-Identifier: MIT */
/*
 * User programs in ring 3. They come back by SYSCALL, an exception or an upcall: the hypervisor enters the kernel for all
 * of these in one way, on the stack that it was told.
 */
#include <pv/hypercall.h>

#include "interrupt.h"
#include "user.h"
#include "user_ring.h"

void pv_user_ring_start(void)
{
    pv_interrupt_start_users();
    pv_syscall_set((uintptr_t)pv_user_syscall, PV_TRAP_MASK);
}

void pv_user_entering(uint64_t kernel_stack)
{
    pv_interrupts_disable();
    pv_stack_set(kernel_stack);
}
