/* SPDX-License-Identifier: MIT */
/*
 * Where the hypervisor enters the kernel at an exception or for an upcall: it pushes the same struct pv_trap_stack for
 * each, which is the upper part of struct pv_trap_frame, so a stub adds no more than a number. The stubs lie 16 bytes
 * apart; interrupt.c counts on it.
 */
#include <pv/abi.h>

#define N_STUBS      33         /* 32 exceptions and the upcall */
#define STUB_BYTES   16
#define FXSAVE_BYTES 512

    .text
    .globl pv_interrupt_stubs
    .balign STUB_BYTES
pv_interrupt_stubs:
    .set number, 0
    .rept N_STUBS
    .balign STUB_BYTES
    pushq $number
    jmp enter
    .set number, number + 1
    .endr

    .type enter, @function
enter:
    pushq $0                    /* address: pv_interrupted fills it in */
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
    /* The frame was pushed below an address that is a multiple of 16; 23 words are on the stack since. */
    subq $(FXSAVE_BYTES + 8), %rsp
    fxsave64 (%rsp)
    ldmxcsr first_mxcsr(%rip)
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
    /* RAX, address, number and error code make room for the lower part of struct pv_iret_frame. */
    movq %rcx, PV_IRET_FRAME_RCX(%rsp)
    movq %r11, PV_IRET_FRAME_R11(%rsp)
    movq %rdi, PV_IRET_FRAME_RDI(%rsp)
    movq %rsp, %rdi
    movq pv_hypercall_page(%rip), %rax
    addq $(PV_HC_IRET * PV_STUB_BYTES), %rax
    call *%rax
    ud2                         /* a handler has spoilt the frame */
    .size enter, . - enter

    .section .rodata
    .balign 4
first_mxcsr:
    .long 0x1f80                /* all floating-point exceptions masked, as after a reset */

    .section .note.GNU-stack, "", @progbits
