/* SPDX-License-Identifier: MIT */
/* The note by which a kernel says what it is: struct pv_elf_note, with a type (PV_ELF_NOTE_TYPE...). */
#ifndef PV_SRC_NOTE_H
#define PV_SRC_NOTE_H

#include <pv/abi.h>

    .macro pv_note type
    .section .note.pvisor, "a", @note
    .balign 4
    .long 2f - 1f               /* size of the name */
    .long 4f - 3f               /* size of the body */
    .long \type
1:  .asciz PV_ELF_NOTE_NAME
2:  .balign 4
3:  .long PV_ABI_VERSION        /* struct pv_elf_note */
    .long 0
    .quad 0                     /* needs no feature */
4:  .balign 4
    .endm

#endif /* PV_SRC_NOTE_H */
