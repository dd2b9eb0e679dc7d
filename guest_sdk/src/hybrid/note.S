/* SPDX-License-Identifier: MIT */
/*
 * What makes this PC kernel one of mode hybrid: a note with the ABI version that it was written for and the features
 * without which it cannot run. A kernel that gets along without the hypervisor as well would carry none.
 */
#include <pv/abi.h>

    .section .note.pvisor, "a", @note
    .balign 4
    .long 2f - 1f               /* size of the name */
    .long 4f - 3f               /* size of the body */
    .long PV_ELF_NOTE_TYPE_PC
1:  .asciz PV_ELF_NOTE_NAME
2:  .balign 4
3:  .long PV_ABI_VERSION        /* struct pv_elf_note */
    .long 0
    .quad 0                     /* needs no feature */
4:  .balign 4

    .section .note.GNU-stack, "", @progbits
