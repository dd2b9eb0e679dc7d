/* SPDX-License-Identifier: MIT */
/*
 * The ways into ring 3 and back. The hypervisor has changed to the kernel's stack before it enters, and pushed struct
 * pv_trap_stack there; IRET goes back, with the other half of struct pv_iret_frame below it.
 */
#include <pv/abi.h>

#include "registers.h"

#define RFLAGS_USER 0x202       /* IF, and the bit that is always 1 */

    .macro iret                 /* the frame is at RSP */
    movq %rsp, %rdi
    movq pv_hypercall_page(%rip), %rax
    addq $(PV_HC_IRET * PV_STUB_BYTES), %rax
    call *%rax
    ud2                         /* it comes back only with an error */
    .endm

    .text
    .globl pv_user_enter
    .type pv_user_enter, @function
pv_user_enter:
    push_preserved
    pushq %rax                  /* for the alignment of the kernel's stack */
    movq %rsp, kernel_stack(%rip)
    pushq $PV_USER_SS
    pushq %rsi
    pushq $RFLAGS_USER
    pushq $PV_USER_CS
    pushq %rdi
    pushq %rdx                  /* RDI of the program */
    pushq $0                    /* R11 */
    pushq $0                    /* RCX */
    pushq $0                    /* RAX */
    movq kernel_stack(%rip), %rdi
    subq $8, %rsp
    call pv_user_entering
    addq $8, %rsp
    clear_registers
    iret
    .size pv_user_enter, . - pv_user_enter

    .globl pv_user_come_back
    .type pv_user_come_back, @function
pv_user_come_back:
    movq kernel_stack(%rip), %rsp
    pushq %rdi
    subq $8, %rsp
    call pv_interrupts_disable
    addq $8, %rsp
    popq %rax
    reset_fpu
    addq $8, %rsp
    pop_preserved
    ret
    .size pv_user_come_back, . - pv_user_come_back

    .globl pv_user_syscall
    .type pv_user_syscall, @function
pv_user_syscall:
    serve_system_call
    movq %rdi, PV_TRAP_STACK_ERROR_CODE(%rsp) /* RDI of struct pv_iret_frame has that place */
    movq PV_TRAP_STACK_RFLAGS(%rsp), %r11
    movq PV_TRAP_STACK_RIP(%rsp), %rcx
    pushq %r11
    pushq %rcx
    pushq %rax
    iret
    .size pv_user_syscall, . - pv_user_syscall

    .bss
    .balign 8
kernel_stack:
    .skip 8

    .section .note.GNU-stack, "", @progbits
