/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What guests poll on a PC's board and what they wait by, in C: system control port B, the CGA's status, the i8042's
 * status, the PM timer, the POST code. The twins are full/platform.py, screen.py, keyboard.py, power.py and
 * diagnostics.py.
 */
#include "full/native/clocks.h"

enum { CONTROL_B = 0x61, I8042_STATUS = 0x64, POST_CODE = 0x80, CGA_STATUS = 0x3da, PM_TIMER = 0x608 };
enum { B_REFRESH = 0x10, B_OUTPUT = 0x20, REFRESH_TICKS = 18 };
enum { NO_DISPLAY = 0x01, PEN_SWITCH_OPEN = 0x04, VERTICAL_SYNC = 0x08 };
enum { DOT_HZ = 14318180, LINE_DOTS = 912, SHOWN_DOTS = 640, FRAME_LINES = 262, SHOWN_LINES = 200 };
enum { SYNC_FIRST = 224, SYNC_END = 240 };
enum { PM_TIMER_HZ = 3579545, PM_TIMER_MASK = 0xffffff };

static bool is_byte(struct engine *e)
{
    return e->v.device[PV_DEVICE_PLATFORM] && e->v.exit.size_bytes == 1;
}

static bool control_b(struct engine *e)
{
    pv_pit *pit = e->v.device[PV_DEVICE_PIT];
    pv_exit *x = &e->v.exit;
    if (!is_byte(e) || !pit)
        return false;
    const pv_platform *board = e->v.device[PV_DEVICE_PLATFORM];
    uint64_t n_refreshes = scaled(x->virtual_ns, PIT_HZ, REFRESH_TICKS * NS_PER_S);
    bool out = pit_output(&pit->counters[2], x->virtual_ns);
    x->value = board->port_b | (n_refreshes & 1 ? B_REFRESH : 0) | (out ? B_OUTPUT : 0);
    return true;
}

static bool cga_status(struct engine *e)
{
    pv_exit *x = &e->v.exit;
    if (!is_byte(e))
        return false;
    uint64_t dot = scaled(x->virtual_ns, DOT_HZ, NS_PER_S), line = dot / LINE_DOTS % FRAME_LINES;
    bool is_shown = line < SHOWN_LINES && dot % LINE_DOTS < SHOWN_DOTS;
    x->value = PEN_SWITCH_OPEN | (is_shown ? 0 : NO_DISPLAY) |
               (line >= SYNC_FIRST && line < SYNC_END ? VERTICAL_SYNC : 0);
    return true;
}

/* Where a typed byte may have come, Python looks. */
static bool i8042_status(struct engine *e)
{
    const pv_i8042 *i8042 = e->v.device[PV_DEVICE_I8042];
    pv_exit *x = &e->v.exit;
    if (!i8042 || x->size_bytes != 1 || x->virtual_ns >= i8042->look_ns)
        return false;
    x->value = i8042->status;
    return true;
}

/* A part of the register, as in full/power.py. */
static bool pm_timer(struct engine *e)
{
    pv_exit *x = &e->v.exit;
    if (!e->v.device[PV_DEVICE_PLATFORM])
        return false;
    uint64_t ticks = scaled(x->virtual_ns, PM_TIMER_HZ, NS_PER_S) & PM_TIMER_MASK;
    x->value = ticks >> 8 * (x->ioport - PM_TIMER) & ((1ull << 8 * x->size_bytes) - 1);
    return true;
}

static bool post_code(struct engine *e)
{
    if (!is_byte(e))
        return false;
    ((pv_platform *)e->v.device[PV_DEVICE_PLATFORM])->post_code = (int32_t)e->v.exit.value;
    return true;
}

const struct native full_platform_natives[] = {
    {"control_b", PV_EXIT_IO_IN, CONTROL_B, 1, control_b},
    {"cga_status", PV_EXIT_IO_IN, CGA_STATUS, 1, cga_status},
    {"i8042_status", PV_EXIT_IO_IN, I8042_STATUS, 1, i8042_status},
    {"pm_timer", PV_EXIT_IO_IN, PM_TIMER, 4, pm_timer},
    {"post_code", PV_EXIT_IO_OUT, POST_CODE, 1, post_code},
};
const uint32_t n_full_platform_natives = sizeof full_platform_natives / sizeof full_platform_natives[0];
