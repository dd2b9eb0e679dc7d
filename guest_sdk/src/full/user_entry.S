/* SPDX-License-Identifier: MIT */
/*
 * The ways into ring 3 and back. SYSCALL changes CS, SS, RIP and RFLAGS and nothing else: the stack is still the user's
 * and every register holds what the user left there, so the first thing is to find the kernel's stack. There is one CPU,
 * and so a variable will do; a kernel for several would have SWAPGS here.
 */
#include "registers.h"

#define RFLAGS_USER 0x202       /* IF, and the bit that is always 1 */

    .text
    .globl pv_user_enter
    .type pv_user_enter, @function
pv_user_enter:
    push_preserved
    pushq %rdi
    pushq %rsi
    pushq %rdx
    leaq 24(%rsp), %rdi         /* aligned to 16 but for 8, as is right after the return address and six words */
    cli
    movq %rdi, kernel_stack(%rip)
    call pv_user_entering
    popq %rdi
    popq user_stack(%rip)
    popq %rcx
    movl $RFLAGS_USER, %r11d
    xorl %eax, %eax
    clear_registers
    movq user_stack(%rip), %rsp
    sysretq
    .size pv_user_enter, . - pv_user_enter

    .globl pv_user_come_back
    .type pv_user_come_back, @function
pv_user_come_back:
    cli
    reset_fpu
    movq %rdi, %rax
    movq kernel_stack(%rip), %rsp
    pop_preserved
    ret
    .size pv_user_come_back, . - pv_user_come_back

    .globl pv_user_syscall
    .type pv_user_syscall, @function
pv_user_syscall:
    movq %rsp, user_stack(%rip)
    movq kernel_stack(%rip), %rsp
    pushq %r11                  /* the user's RFLAGS */
    pushq %rcx                  /* the user's RIP */
    pushq user_stack(%rip)      /* kept here: a handler may let interrupts in */
    serve_system_call
    cli
    popq user_stack(%rip)
    popq %rcx
    popq %r11
    movq user_stack(%rip), %rsp
    sysretq
    .size pv_user_syscall, . - pv_user_syscall

    .bss
    .balign 8
kernel_stack:
    .skip 8
user_stack:
    .skip 8

    .section .note.GNU-stack, "", @progbits
