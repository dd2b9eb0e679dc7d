/* SPDX-License-Identifier: MIT */
/*
 * Where the hypervisor enters the kernel at an exception or for an upcall: it pushes the same struct pv_trap_stack for
 * each, which is the upper part of struct pv_trap_frame, so a stub adds no more than a number. The stubs lie 16 bytes
 * apart; interrupt.c counts on it.
 */
#include <pv/abi.h>

#include "registers.h"

#define N_STUBS      33         /* 32 exceptions and the upcall */
#define STUB_BYTES   16

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
    serve_interrupt
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

    .section .note.GNU-stack, "", @progbits
