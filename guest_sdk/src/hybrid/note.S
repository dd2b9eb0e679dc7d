/* SPDX-License-Identifier: MIT */
/*
 * What makes this PC kernel one of mode hybrid: a note with the ABI version that it was written for and the features
 * without which it cannot run. A kernel that gets along without the hypervisor as well would carry none.
 */
#include "note.h"

    pv_note PV_ELF_NOTE_TYPE_PC

    .section .note.GNU-stack, "", @progbits
