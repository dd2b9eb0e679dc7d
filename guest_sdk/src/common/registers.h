/* SPDX-License-Identifier: MIT */
/* For the entry code of both wings: runs of instructions that save registers and bring them back. */
#ifndef PV_SRC_REGISTERS_H
#define PV_SRC_REGISTERS_H

#define FXSAVE_BYTES 512

/* Six words: what a C function must leave as it was. */
    .macro push_preserved
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    .endm

    .macro pop_preserved
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    .endm

/* Nothing of the kernel's is left in the registers that a program is not given anything in; RAX, RCX, RDI, R11 are. */
    .macro clear_registers
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
    .endm

/* Flags and floating point as C expects them. */
    .macro reset_fpu
    cld
    fninit
    ldmxcsr pv_first_mxcsr(%rip)
    .endm

/*
 * A system call: its number is in RAX, its arguments are where SYSCALL leaves them. The result is in RAX; of the others
 * the user finds again what it had, as far as they are not lost by SYSCALL itself.
 */
    .macro serve_system_call
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
    .endm

/*
 * An exception or interrupt: the upper part of struct pv_trap_frame is on the stack. The rest of it is pushed, and
 * pv_interrupted called with its address; then all but RAX, which is still on the stack, are as they were. Before the
 * first word of the frame was pushed RSP was a multiple of 16; 23 words are on the stack when FXSAVE needs one.
 */
    .macro serve_interrupt
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rbx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, %rdi
    subq $(FXSAVE_BYTES + 8), %rsp
    fxsave64 (%rsp)
    ldmxcsr pv_first_mxcsr(%rip)
    xorl %ebp, %ebp             /* a backtrace of the handler ends here */
    call pv_interrupted
    fxrstor64 (%rsp)
    addq $(FXSAVE_BYTES + 8), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbp
    popq %rbx
    popq %rdx
    popq %rcx
    .endm

#endif /* PV_SRC_REGISTERS_H */
