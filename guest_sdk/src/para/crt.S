/* SPDX-License-Identifier: MIT */
/*
 * The way of a paravirtualized kernel to C. The hypervisor starts it in 64-bit mode, with page tables, a stack (RSP)
 * and struct pv_start_info (RDI), so the whole of the full wing's crt.S and paging.c has nothing left to do.
 */
    .section .text.start, "ax", @progbits
    .globl _start
    .type _start, @function
_start:
    xorl %ebp, %ebp             /* the outermost frame: a backtrace ends here */
    call pv_start               /* does not return */
    ud2
    .size _start, . - _start

    .section .note.GNU-stack, "", @progbits
