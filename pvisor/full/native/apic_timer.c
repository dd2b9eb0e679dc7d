/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local APIC's timer in C: set by the guest, and when it is due (full/apic_timer.py). */
#include "full/native/clocks.h"
#include "full/native/controllers.h"

enum { LVT_TIMER_AT = 0x320, INITIAL_COUNT = 0x380, DIVIDE = 0x3e0 };
enum { LVT_TIMER = 0, LVT_WRITABLE = 0x300ff, DIVIDE_WRITABLE = 0xb, FIRST_VECTOR = 16, SVR_ENABLE = 1 << 8 };
enum { MASKED = 1 << 16, PERIODIC = 1 << 17 };

/* What the divide configuration register stands for: bits 3, 1 and 0 (SDM 3A figure 10-10). */
static uint32_t divisor_of(const pv_apic *apic)
{
    uint32_t code = (apic->divide >> 1 & 4) | (apic->divide & 3);
    return code == 7 ? 1 : 2u << code;
}

/* The current-count register. */
uint32_t apic_current_count(const pv_apic *apic, uint64_t now_ns)
{
    uint64_t elapsed = (now_ns - apic->since_ns) / divisor_of(apic);
    if (!apic->count)
        return 0;
    if (elapsed < apic->count)
        return apic->count - (uint32_t)elapsed;
    if (!(apic->lvt[LVT_TIMER] & PERIODIC))
        return 0;
    return apic->initial_count - (uint32_t)((elapsed - apic->count) % apic->initial_count);
}

/* Accounts for every time that the counter has reached 0 since it was looked at. */
static void settle(pv_apic *apic, uint64_t now_ns)
{
    uint64_t elapsed = (now_ns - apic->since_ns) / divisor_of(apic), initial = apic->initial_count;
    if (!apic->count || elapsed < apic->count)
        return;
    if (!(apic->lvt[LVT_TIMER] & PERIODIC)) {
        apic->count = 0;
        return;
    }
    apic->since_ns += (apic->count + (elapsed - apic->count) / initial * initial) * divisor_of(apic);
    apic->count = apic->initial_count;
}

static void schedule(struct engine *e, const pv_apic *apic)
{
    bool runs = apic->count && !(apic->lvt[LVT_TIMER] & MASKED);
    set_own_deadline(e, apic->deadline, runs ? apic->since_ns + (uint64_t)apic->count * divisor_of(apic) : NEVER_NS);
}

/* The counter has reached 0. False: Python's, who knows of errors. */
bool apic_timer_expire(struct engine *e, uint64_t now_ns)
{
    pv_apic *apic = e->v.device[PV_DEVICE_APIC];
    uint32_t entry = apic->lvt[LVT_TIMER], vector = entry & 0xff;
    if (vector < FIRST_VECTOR)
        return false;
    settle(apic, now_ns);
    schedule(e, apic);
    if (!(entry & MASKED) && apic->is_enabled) {
        apic_accept(apic, vector, false);
        apic_update(apic);
        follow_apic(e, apic);
    }
    return true;
}

static bool write_timer(struct engine *e, pv_apic *apic, uint32_t offset, uint32_t value)
{
    uint64_t now_ns = e->v.exit.virtual_ns;
    if (!apic->is_enabled || !deadlines_of(e))
        return false;
    switch (offset) {
    case INITIAL_COUNT:
        apic->initial_count = apic->count = value;
        apic->since_ns = now_ns;
        break;
    case LVT_TIMER_AT:
        settle(apic, now_ns);
        apic->lvt[LVT_TIMER] = (value & LVT_WRITABLE) | (apic->svr & SVR_ENABLE ? 0 : MASKED);
        break;
    case DIVIDE:
        settle(apic, now_ns);
        apic->count = apic_current_count(apic, now_ns);
        apic->since_ns = now_ns;
        apic->divide = value & DIVIDE_WRITABLE;
        break;
    default:
        return false;
    }
    schedule(e, apic);
    return true;
}

/* A store to the APIC's page. False: it is Python's, and nothing has changed. */
bool apic_store(struct engine *e, pv_apic *apic, uint32_t offset, uint32_t value)
{
    if (!pv_apic_write(apic, offset, value) && !write_timer(e, apic, offset, value))
        return false;
    follow_apic(e, apic);
    return true;
}
