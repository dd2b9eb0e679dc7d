/* SPDX-License-Identifier: MIT */
/*
 * What makes this a paravirtualized kernel: a note with the ABI version it was written for and the features without
 * which it cannot run. A hypervisor that cannot offer them refuses to start it.
 */
#include "note.h"

    pv_note PV_ELF_NOTE_TYPE

    .section .note.GNU-stack, "", @progbits
