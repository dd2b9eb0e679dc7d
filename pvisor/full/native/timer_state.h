/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 8254 for both tiers: full/timer.py is the reference, timer.c reads counters. Ticks are CLK pulses since origin_ns. */
#ifndef PV_FULL_TIMER_STATE_H
#define PV_FULL_TIMER_STATE_H
#include <stdint.h>

typedef struct pv_pit_counter {
    uint32_t gate;
    uint32_t control;          /* the low six bits of the control word: access, mode, BCD */
    uint32_t count;            /* 0: idle, without a count or not triggered yet */
    uint32_t next_count;       /* written, and not loaded yet; 0: none */
    uint64_t origin_ns;
    int64_t start_tick;        /* when the count was loaded */
    int64_t reload_tick;       /* when modes 2 and 3 load the next one */
    int64_t held;              /* CLK pulses counted, of a counter that its gate has stopped; else -1 */
    uint32_t idle_value;
    int32_t low_byte;          /* the first of two bytes of a count; -1: none */
    uint32_t reads_high;       /* the second of two bytes is read next */
    uint32_t n_latched;        /* bytes of the latched count that are left */
    uint8_t latched[2];        /* the next one first */
    int32_t latched_status;    /* -1: none */
} pv_pit_counter;

typedef struct pv_pit {
    pv_pit_counter counters[3];
    uint32_t was_high;         /* what IRQ 0 was told last of counter 0's output */
    uint32_t deadline;         /* the number of the own deadline, which is its next rise */
} pv_pit;
#endif
