/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 8259 pair, for both tiers: full/pic.py says what each field means, pic.c is the short way. */
#ifndef PV_FULL_PIC_STATE_H
#define PV_FULL_PIC_STATE_H
#include <stdint.h>

typedef struct pv_pic_chip {
    uint32_t levels;           /* the inputs as they are, a bit each */
    uint32_t edges;            /* inputs that rose and have not been acknowledged since */
    uint32_t elcr;
    uint32_t mask;
    uint32_t in_service;
    uint32_t highest;          /* the input of the highest priority */
    uint32_t vector_base;
    uint32_t awaits;           /* the ICW that comes next, less 1; 0: none */
    uint32_t icw1;
    uint32_t has_auto_eoi;
    uint32_t rotates_in_auto_eoi;
    uint32_t is_special_mask;
    uint32_t is_special_nested;
    uint32_t reads_isr;
    uint32_t is_polled;
    uint32_t is_accepting;     /* in an acknowledge cycle, where INT is low */
} pv_pic_chip;

typedef struct pv_pic {
    pv_pic_chip chips[2];      /* master, slave */
    uint32_t has_output;       /* what LINT0 was told last */
} pv_pic;
#endif
