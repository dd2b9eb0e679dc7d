/* SPDX-License-Identifier: MIT */
/*
 * Where the CPU enters the kernel at an exception or interrupt: one stub a vector, which makes all of them look alike
 * (struct pv_trap_frame), and the way back. The stubs lie 16 bytes apart; interrupt.c counts on it.
 */
#include "registers.h"

#define N_TRAPS      32
#define N_VECTORS    64
#define STUB_BYTES   16
#define HAS_ERROR    0x60227d00 /* exceptions 8, 10-14, 17, 21, 29, 30 push an error code themselves */
#define PAGE_FAULT   14

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
    cld
    serve_interrupt
    popq %rax
    addq $24, %rsp              /* address, vector, error code */
    iretq
    .size enter, . - enter

    .section .note.GNU-stack, "", @progbits
