/* SPDX-License-Identifier: MIT */
/*
 * Where the CPU enters the kernel at an exception or interrupt: one stub a vector, which makes all of them look alike
 * (struct pv_trap_frame), and the way back. The stubs lie 16 bytes apart; interrupt.c counts on it.
 */
#define N_TRAPS      32
#define N_VECTORS    64
#define STUB_BYTES   16
#define HAS_ERROR    0x60227d00 /* exceptions 8, 10-14, 17, 21, 29, 30 push an error code themselves */
#define PAGE_FAULT   14
#define FXSAVE_BYTES 512

    .text
    .globl pv_interrupt_stubs
    .balign STUB_BYTES
pv_interrupt_stubs:
    .set vector, 0
    .rept N_VECTORS
    .balign STUB_BYTES
    .if vector >= N_TRAPS || !((HAS_ERROR >> vector) & 1)
    pushq $0
    .endif
    pushq $vector
    .if vector == PAGE_FAULT
    jmp page_fault
    .else
    jmp enter
    .endif
    .set vector, vector + 1
    .endr

    .type page_fault, @function
page_fault:
    pushq %rax
    movq %cr2, %rax
    xchgq %rax, (%rsp)
    jmp push_registers
    .size page_fault, . - page_fault

    .type enter, @function
enter:
    pushq $0                    /* address */
push_registers:
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
    /* The CPU has aligned RSP to 16 before it pushed; 23 words are on the stack since. */
    subq $(FXSAVE_BYTES + 8), %rsp
    fxsave64 (%rsp)
    ldmxcsr first_mxcsr(%rip)
    cld
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
    popq %rax
    addq $24, %rsp              /* address, vector, error code */
    iretq
    .size enter, . - enter

    .section .rodata
    .balign 4
first_mxcsr:
    .long 0x1f80                /* all floating-point exceptions masked, as after a reset */

    .section .note.GNU-stack, "", @progbits
