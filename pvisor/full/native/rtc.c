/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The real-time clock's index and reads in C: time, "update in progress", CMOS memory. Register C, whose reading has
 * an effect, writes, and the first look at each new second are left to full/rtc.py.
 */
#include "full/native/clocks.h"

enum { IOPORT = 0x70, DATA = 0x71, N_REGISTERS = 128 };
enum { ALARM_SECONDS = 1, ALARM_MINUTES = 3, ALARM_HOURS = 5, YEAR = 9, A = 10, C = 12, CENTURY = 0x32, CENTURY_PS2 = 0x37 };
enum { A_UIP = 0x80, UIP_NS = 244000 + 1984000 };

static bool write_index(struct engine *e)
{
    pv_rtc *rtc = e->v.device[PV_DEVICE_RTC];
    const pv_exit *x = &e->v.exit;
    if (!rtc || x->size_bytes != 1)
        return false;
    uint32_t index = x->value & (N_REGISTERS - 1);
    rtc->index = index == CENTURY_PS2 ? CENTURY : index;
    return true;
}

static bool is_time(uint32_t index)
{
    return index == CENTURY || (index <= YEAR && index != ALARM_SECONDS && index != ALARM_MINUTES && index != ALARM_HOURS);
}

static bool is_updating(const pv_rtc *rtc, uint64_t now_ns)
{
    return rtc->is_running && (now_ns % NS_PER_S + rtc->second_ns) % NS_PER_S >= NS_PER_S - UIP_NS;
}

static bool read_rtc(struct engine *e)
{
    const pv_rtc *rtc = e->v.device[PV_DEVICE_RTC];
    pv_exit *x = &e->v.exit;
    if (!rtc || x->size_bytes != 1 || rtc->index == C)
        return false;
    if (is_time(rtc->index) && x->virtual_ns >= rtc->shown_until_ns)
        return false;
    x->value = rtc->registers[rtc->index];
    if (rtc->index == A && is_updating(rtc, x->virtual_ns))
        x->value |= A_UIP;
    return true;
}

const struct native full_rtc_natives[] = {
    {"rtc_index", PV_EXIT_IO_OUT, IOPORT, 1, write_index},
    {"rtc_read", PV_EXIT_IO_IN, DATA, 1, read_rtc},
};
const uint32_t n_full_rtc_natives = sizeof full_rtc_natives / sizeof full_rtc_natives[0];
