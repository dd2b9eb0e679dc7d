/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real-time clock as far as it is read without an effect, for both tiers (full/rtc.py, rtc.c). */
#ifndef PV_FULL_RTC_STATE_H
#define PV_FULL_RTC_STATE_H
#include <stdint.h>

typedef struct pv_rtc {
    uint32_t index;            /* which register the data port is */
    uint32_t is_running;       /* the time is updated */
    uint64_t second_ns;        /* nanoseconds of the divider chain within its second, at virtual time 0 */
    uint64_t shown_until_ns;   /* virtual time up to which the time registers are right */
    uint8_t registers[128];
} pv_rtc;
#endif
