/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lane's time-stamp counter: what the guest has added to virtual time (SDM 3B 17.17.3). Both tiers work on it. */
#ifndef PV_LANE_CLOCK_STATE_H
#define PV_LANE_CLOCK_STATE_H

typedef struct pv_lane_clock {
    uint64_t tsc_offset, tsc_adjust;
} pv_lane_clock;
#endif
