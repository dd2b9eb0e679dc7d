/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Odd bits of a PC's board that guests poll, for both tiers (full/platform.py, full/diagnostics.py; platform.c). */
#ifndef PV_FULL_PLATFORM_STATE_H
#define PV_FULL_PLATFORM_STATE_H
#include <stdint.h>

typedef struct pv_platform {
    uint32_t port_b;           /* bits 0 to 3 of I/O port 0x61, as they were written */
    int32_t post_code;         /* the byte that I/O port 0x80 was given last; -1: none yet */
} pv_platform;

typedef struct pv_i8042 {
    uint32_t status;           /* I/O port 0x64, as it is read now */
    uint64_t look_ns;          /* virtual time from which a typed byte may be there */
} pv_i8042;
#endif
