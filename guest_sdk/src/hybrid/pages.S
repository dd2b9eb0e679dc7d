/* SPDX-License-Identifier: MIT */
/* Room for the hypercall stubs, which the hypervisor writes: code, so it lies with the text. */
#include <pv/abi.h>

    .section .text.hypercall_pages, "ax", @progbits
    .globl pv_hypercall_pages
    .balign PV_PAGE_BYTES
pv_hypercall_pages:
    .skip PV_PAGE_BYTES * PV_HYPERCALL_PAGES, 0xcc

    .section .note.GNU-stack, "", @progbits
