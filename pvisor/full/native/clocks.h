/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtual time in the ticks of a PC's oscillators, for native handlers of devices that are polled. */
#ifndef PV_FULL_CLOCKS_H
#define PV_FULL_CLOCKS_H
#include "cpu/shim/shim.h"
#include "full/native/deadlines_state.h"
#include "full/native/platform_state.h"
#include "full/native/rtc_state.h"
#include "full/native/timer_state.h"

enum { PIT_HZ = 1193182 };
#define NS_PER_S 1000000000ull

/* ns * hz / per, exact; hz is less than 2^24 and per less than 2^35. */
static inline uint64_t scaled(uint64_t ns, uint64_t hz, uint64_t per)
{
    return ns / per * hz + ns % per * hz / per;
}

#define NEVER_NS UINT64_MAX

static inline pv_deadlines *deadlines_of(struct engine *e)
{
    return e->v.device[PV_DEVICE_DEADLINES];
}

/* --- deadlines.c: the one deadline of a device is due then, or never (NEVER_NS) */
void set_own_deadline(struct engine *e, uint32_t index, uint64_t due_ns);

/* --- timer.c: OUT of one of the 8254's counters, now; and counter 0's deadline */
bool pit_output(pv_pit_counter *counter, uint64_t now_ns);
bool pit_rise(struct engine *e, uint64_t now_ns);

/* --- apic_timer.c: its deadline */
bool apic_timer_expire(struct engine *e, uint64_t now_ns);
#endif
