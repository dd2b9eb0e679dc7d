/* SPDX-License-Identifier: MIT */
/* What registers.h needs to have somewhere. */
    .section .rodata
    .balign 4
    .globl pv_first_mxcsr
pv_first_mxcsr:
    .long 0x1f80                /* all floating-point exceptions masked, as after a reset */

    .section .note.GNU-stack, "", @progbits
