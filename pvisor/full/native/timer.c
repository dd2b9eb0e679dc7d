/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 8254 in C: counters programmed and read, the commands that latch, and IRQ 0. BCD is left to full/timer.py, whose
 * functions these are.
 */
#include "full/native/clocks.h"
#include "full/native/controllers.h"

enum { IOPORT = 0x40, CONTROL = IOPORT + 3, READ_BACK = 3 };
enum { READ_BACK_NOT_COUNT = 0x20, READ_BACK_NOT_STATUS = 0x10, STATUS_OUT = 0x80, STATUS_NULL_COUNT = 0x40 };
enum { LATCH, LSB, MSB, WORD };
enum { BCD = 1, NONE = -1, FULL_COUNT = 0x10000, PIT_IRQ = 0 };

/* 0 to 5: the top bit of three does not matter for modes 2 and 3. */
static uint32_t mode_of(const pv_pit_counter *p)
{
    uint32_t mode = p->control >> 1 & 7;
    return mode & 2 ? mode & 3 : mode;
}

static uint32_t high_ticks(uint32_t count)
{
    return (count + 1) / 2;
}

/* CLK pulses since the count was loaded. Loads a new one first, if that is due. */
static uint64_t elapsed(pv_pit_counter *p, uint64_t now_ns)
{
    if (!p->count || p->held >= 0)
        return p->held >= 0 ? (uint64_t)p->held : 0;
    int64_t tick = (int64_t)scaled(now_ns - p->origin_ns, PIT_HZ, NS_PER_S);
    if (p->next_count && (mode_of(p) & 2) && tick >= p->reload_tick) {
        bool ends_high_half = (p->reload_tick - p->start_tick) % p->count != 0;
        p->count = p->next_count;
        p->next_count = 0;
        p->start_tick = p->reload_tick - (int64_t)(ends_high_half ? high_ticks(p->count) : 0);
    }
    return (uint64_t)(tick - p->start_tick);
}

static bool output_at(uint32_t mode, uint32_t count, uint64_t ticks)
{
    switch (mode) {
    case 0: case 1: return ticks >= count;
    case 2: return ticks % count != count - 1;
    case 3: return ticks % count < high_ticks(count);
    default: return ticks != count;
    }
}

static uint32_t value_at(uint32_t mode, uint32_t count, uint64_t ticks)
{
    if (mode == 2)
        return count - (uint32_t)(ticks % count);
    if (mode == 3) {
        uint32_t into = (uint32_t)(ticks % count), high = high_ticks(count);
        return (count & ~1u) - 2 * (into < high ? into : into - high);
    }
    return count - (uint32_t)ticks;
}

bool pit_output(pv_pit_counter *p, uint64_t now_ns)
{
    uint32_t mode = mode_of(p);
    uint64_t ticks = elapsed(p, now_ns);
    if (!p->count)
        return mode != 0;
    return output_at(mode, p->count, ticks) || (mode & 2 && !p->gate);
}

static uint32_t value(pv_pit_counter *p, uint64_t now_ns)
{
    uint64_t ticks = elapsed(p, now_ns);
    return p->count ? value_at(mode_of(p), p->count, ticks) & 0xffff : p->idle_value;
}

static void latch_count(pv_pit_counter *p, uint64_t now_ns)
{
    if (p->n_latched)
        return;
    uint32_t access = p->control >> 4, both = value(p, now_ns);
    p->latched[0] = (uint8_t)(access == MSB ? both >> 8 : both);
    p->latched[1] = (uint8_t)(both >> 8);
    p->n_latched = access == WORD ? 2 : 1;
}

static void latch_status(pv_pit_counter *p, uint64_t now_ns)
{
    if (p->latched_status >= 0)
        return;
    bool out = pit_output(p, now_ns), is_null = !p->count || p->next_count;
    p->latched_status = (int32_t)((out ? STATUS_OUT : 0) | (is_null ? STATUS_NULL_COUNT : 0) | p->control);
}

static bool read_counter(struct engine *e)
{
    pv_pit *pit = e->v.device[PV_DEVICE_PIT];
    pv_exit *x = &e->v.exit;
    if (!pit || x->size_bytes != 1)
        return false;
    pv_pit_counter *p = &pit->counters[x->ioport - IOPORT];
    if (p->latched_status >= 0) {
        x->value = (uint32_t)p->latched_status;
        p->latched_status = -1;
        return true;
    }
    if (p->n_latched) {
        x->value = p->latched[0];
        p->latched[0] = p->latched[1];
        p->n_latched--;
        return true;
    }
    if (p->control & BCD)
        return false;
    uint32_t access = p->control >> 4;
    bool is_high = access == WORD ? p->reads_high : access == MSB;
    p->reads_high = access == WORD && !is_high;
    x->value = value(p, x->virtual_ns) >> (is_high ? 8 : 0) & 0xff;
    return true;
}

/* --- IRQ 0 */

/* When OUT goes high next by counting; NEVER_NS for never. */
static uint64_t next_rise_ns(pv_pit_counter *p, uint64_t now_ns)
{
    uint32_t mode = mode_of(p);
    uint64_t ticks = elapsed(p, now_ns), rise;
    if (!p->count || p->held >= 0)
        return NEVER_NS;
    if (mode <= 1 ? ticks >= p->count : mode > 3 && ticks > p->count)
        return NEVER_NS;
    rise = mode <= 1 ? p->count : mode <= 3 ? (ticks / p->count + 1) * p->count : p->count + 1ull;
    int64_t tick = p->start_tick + (int64_t)rise;
    if (mode == 3 && p->next_count && p->reload_tick < tick)
        tick = p->reload_tick + p->next_count / 2; /* the new count's low half comes first */
    uint64_t whole = (uint64_t)tick / PIT_HZ, rest = (uint64_t)tick % PIT_HZ; /* tick * NS_PER_S / HZ, rounded up */
    return p->origin_ns + whole * NS_PER_S + (rest * NS_PER_S + PIT_HZ - 1) / PIT_HZ;
}

static void arm(struct engine *e, pv_pit *pit, uint64_t now_ns)
{
    uint64_t due_ns = next_rise_ns(&pit->counters[0], now_ns);
    if (due_ns != deadlines_of(e)->own[pit->deadline].due_ns)
        set_own_deadline(e, pit->deadline, due_ns);
}

/* The output has gone high. False: Python's. */
bool pit_rise(struct engine *e, uint64_t now_ns)
{
    pv_pit *pit = e->v.device[PV_DEVICE_PIT];
    struct controllers c;
    if (!begin_change(e, &c))
        return false;
    set_isa_line(&c, PIT_IRQ, false);
    set_isa_line(&c, PIT_IRQ, true);
    if (!end_change(e, &c))
        return false;
    deadlines_of(e)->own[pit->deadline].due_ns = NEVER_NS;
    pit->was_high = 1;
    arm(e, pit, now_ns);
    return true;
}

/* Counter 0 has been programmed. False: the line leads to something odd, and nothing has changed. */
static bool follow_output(struct engine *e, pv_pit *pit, uint64_t now_ns)
{
    struct controllers c;
    uint32_t is_high = pit_output(&pit->counters[0], now_ns);
    if (is_high != pit->was_high) {
        if (!begin_change(e, &c))
            return false;
        set_isa_line(&c, PIT_IRQ, is_high);
        if (!end_change(e, &c))
            return false;
        pit->was_high = is_high;
    }
    arm(e, pit, now_ns);
    return true;
}

/* --- programming */

static void load(pv_pit_counter *p, uint32_t count, uint64_t now_ns)
{
    uint32_t mode = mode_of(p);
    p->count = count;
    p->next_count = 0;
    p->origin_ns = now_ns;
    p->start_tick = 0;
    p->held = p->gate || mode == 1 || mode == 5 ? NONE : 0;
}

static void write_count(pv_pit_counter *p, uint32_t written, uint64_t now_ns)
{
    uint32_t count = written ? written : FULL_COUNT, mode = mode_of(p);
    uint64_t ticks = elapsed(p, now_ns);
    bool is_periodic = mode & 2;
    if (is_periodic && count < 2)
        count = 2; /* 1 is not allowed there */
    if (mode == 0 || mode == 4 || (is_periodic && !p->count)) {
        load(p, count, now_ns);
        return;
    }
    p->next_count = count;
    if (p->count) {
        uint32_t into = (uint32_t)(ticks % p->count), high = high_ticks(p->count);
        uint32_t part = mode == 3 && into < high ? high : p->count;
        p->reload_tick = p->start_tick + (int64_t)(ticks - into + part);
    }
}

/* One byte of a count. In mode 0, the first of two stops the count that runs. */
static void write_byte(pv_pit_counter *p, uint32_t byte, uint64_t now_ns)
{
    uint32_t access = p->control >> 4;
    if (access == WORD && p->low_byte == NONE) {
        p->low_byte = (int32_t)byte;
        if (mode_of(p) == 0) {
            p->idle_value = value(p, now_ns);
            p->count = 0;
        }
        return;
    }
    if (access == MSB) {
        byte <<= 8;
    } else if (access == WORD) {
        byte = byte << 8 | (uint32_t)p->low_byte;
        p->low_byte = NONE;
    }
    write_count(p, byte, now_ns);
}

/* A control word: all that went before is void, and a count is awaited. */
static void program(pv_pit_counter *p, uint32_t control, uint64_t now_ns)
{
    p->idle_value = value(p, now_ns);
    p->control = control & 0x3f;
    p->count = p->next_count = p->n_latched = 0;
    p->low_byte = p->latched_status = NONE;
    p->reads_high = 0;
}

/* Changes a counter: `byte` of a count, or a control word. Where that is Python's after all, it is as before. */
static bool change(struct engine *e, pv_pit *pit, uint32_t index, bool is_control, uint32_t byte)
{
    pv_pit_counter *p = &pit->counters[index], before = *p;
    uint64_t now_ns = e->v.exit.virtual_ns;
    if (p->control & BCD || (is_control && byte & BCD) || !deadlines_of(e))
        return false;
    if (is_control)
        program(p, byte, now_ns);
    else
        write_byte(p, byte, now_ns);
    if (index != 0 || follow_output(e, pit, now_ns))
        return true;
    *p = before;
    return false;
}

static bool write_counter(struct engine *e)
{
    pv_pit *pit = e->v.device[PV_DEVICE_PIT];
    const pv_exit *x = &e->v.exit;
    return pit && x->size_bytes == 1 && change(e, pit, x->ioport - IOPORT, false, (uint32_t)x->value);
}

/* A control word: the counter latch command, the read-back command, or a new mode. */
static bool write_control(struct engine *e)
{
    pv_pit *pit = e->v.device[PV_DEVICE_PIT];
    const pv_exit *x = &e->v.exit;
    uint32_t command = (uint32_t)x->value, selected = command >> 6;
    if (!pit || x->size_bytes != 1)
        return false;
    if (selected != READ_BACK && (command >> 4 & 3) != LATCH)
        return change(e, pit, selected, true, command);
    uint32_t which = selected == READ_BACK ? command >> 1 & 7 : 1u << selected;
    bool count = selected != READ_BACK || !(command & READ_BACK_NOT_COUNT);
    bool status = selected == READ_BACK && !(command & READ_BACK_NOT_STATUS);
    for (int i = 0; i < 3; i++)
        if (which >> i & 1 && pit->counters[i].control & BCD)
            return false;
    for (int i = 0; i < 3; i++) {
        if (which >> i & 1 && count)
            latch_count(&pit->counters[i], x->virtual_ns);
        if (which >> i & 1 && status)
            latch_status(&pit->counters[i], x->virtual_ns);
    }
    return true;
}

const struct native full_timer_natives[] = {
    {"pit_read", PV_EXIT_IO_IN, IOPORT, 3, read_counter},
    {"pit_write", PV_EXIT_IO_OUT, IOPORT, 3, write_counter},
    {"pit_control", PV_EXIT_IO_OUT, CONTROL, 1, write_control},
};
const uint32_t n_full_timer_natives = sizeof full_timer_natives / sizeof full_timer_natives[0];
