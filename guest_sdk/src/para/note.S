/* SPDX-License-Identifier: MIT */
/*
 * What makes this a paravirtualized kernel: a note with the ABI version it was written for and the features without
 * which it cannot run. A hypervisor that cannot offer them refuses to start it.
 */
#include <pv/abi.h>

    .section .note.pvisor, "a", @note
    .balign 4
    .long 2f - 1f               /* size of the name */
    .long 4f - 3f               /* size of the body */
    .long PV_ELF_NOTE_TYPE
1:  .asciz PV_ELF_NOTE_NAME
2:  .balign 4
3:  .long PV_ABI_VERSION        /* struct pv_elf_note */
    .long 0
    .quad 0                     /* needs no feature */
4:  .balign 4

    .section .note.GNU-stack, "", @progbits
