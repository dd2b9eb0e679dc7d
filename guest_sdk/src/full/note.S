/* SPDX-License-Identifier: MIT */
/*
 * What makes this a PC kernel that a loader can start: the PVH note. Its body is the address of 32-bit code that is
 * entered with EBX = struct hvm_start_info (see pvh.h).
 */
#define XEN_ELFNOTE_PHYS32_ENTRY 18

    .section .note.Xen, "a", @note
    .balign 4
    .long 2f - 1f               /* size of the name */
    .long 4f - 3f               /* size of the body */
    .long XEN_ELFNOTE_PHYS32_ENTRY
1:  .asciz "Xen"
2:  .balign 4
3:  .quad _start
4:  .balign 4

    .section .note.GNU-stack, "", @progbits
