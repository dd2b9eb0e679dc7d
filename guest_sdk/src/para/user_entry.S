/* SPDX-License-Identifier: MIT */
/*
 * The ways into ring 3 and back. The hypervisor has changed to the kernel's stack before it enters, and pushed struct
 * pv_trap_stack there; IRET goes back, with the other half of struct pv_iret_frame below it.
 */
#include <pv/abi.h>

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
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
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
    xorl %edx, %edx
    xorl %esi, %esi
    xorl %r8d, %r8d
    xorl %r9d, %r9d
    xorl %r10d, %r10d
    xorl %ebx, %ebx
    xorl %ebp, %ebp
    xorl %r12d, %r12d
    xorl %r13d, %r13d
    xorl %r14d, %r14d
    xorl %r15d, %r15d
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
    cld
    fninit
    ldmxcsr first_mxcsr(%rip)
    addq $8, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size pv_user_come_back, . - pv_user_come_back

    .globl pv_user_syscall
    .type pv_user_syscall, @function
pv_user_syscall:
    pushq %r9
    pushq %r8
    pushq %r10
    pushq %rdx
    pushq %rsi
    pushq %rdi
    movq %rax, %rdi
    movq %rsp, %rsi             /* the arguments, from the first on */
    call pv_user_called
    popq %rdi
    popq %rsi
    popq %rdx
    popq %r10
    popq %r8
    popq %r9
    movq %rdi, PV_TRAP_STACK_ERROR_CODE(%rsp) /* RDI of struct pv_iret_frame has that place */
    movq PV_TRAP_STACK_RFLAGS(%rsp), %r11
    movq PV_TRAP_STACK_RIP(%rsp), %rcx
    pushq %r11
    pushq %rcx
    pushq %rax
    iret
    .size pv_user_syscall, . - pv_user_syscall

    .section .rodata
    .balign 4
first_mxcsr:
    .long 0x1f80                /* all floating-point exceptions masked, as after a reset */

    .bss
    .balign 8
kernel_stack:
    .skip 8

    .section .note.GNU-stack, "", @progbits
