/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A domain's deadlines, as far as native handlers set some of them: machine/timers.py keeps the list. */
#ifndef PV_FULL_DEADLINES_STATE_H
#define PV_FULL_DEADLINES_STATE_H
#include <stdint.h>

typedef struct pv_deadline {
    uint64_t due_ns;           /* virtual time; UINT64_MAX: none */
    uint64_t order;            /* of those of one time, the lowest comes first */
} pv_deadline;

typedef struct pv_deadlines {
    uint64_t n_made;           /* the last order that was given */
    uint64_t listed_ns;        /* the earliest of those that only Python knows */
    uint64_t n_acted;
    uint64_t seed;             /* of how late each is heard of; 0: at once */
    pv_deadline own[8];        /* one a device, by the number that it was given */
} pv_deadlines;
#endif
