/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the lane serves natively beside the devices that it shares with full: the local APIC's page by MMIO, the vector
 * of an interrupt, and the time-stamp counter.
 */
#include "cpu/shim/api.h"
#include "emu.h"
#include "clock_state.h"
#include "full/native/controllers.h"

static bool apic_access(struct engine *e)
{
    pv_apic *apic = e->v.device[PV_DEVICE_APIC];
    pv_exit *x = &e->v.exit;
    uint64_t offset = apic ? x->address - apic->base : PAGE_BYTES;
    uint32_t value;
    if (offset >= PAGE_BYTES || x->size_bytes != 4)
        return false;
    if (x->is_write)
        return apic_store(e, apic, (uint32_t)offset, (uint32_t)x->value);
    if (!pv_apic_read(apic, (uint32_t)offset, x->virtual_ns, &value))
        return false;
    x->value = value;
    return true;
}

/* The controllers name the vector; the block hook delivers it (blocks.c). */
static bool event_window(struct engine *e)
{
    struct controllers c;
    uint32_t vector;
    if (!acknowledge_natively(e, &c, &vector))
        return false;
    follow_apic(e, c.apic);
    e->lane->injected = vector + 1;
    return true;
}

/* RDTSC; and RDTSCP, which gives IA32_TSC_AUX as well (SDM 2B). The engine keeps that. */
static bool rdtsc(struct engine *e)
{
    const pv_lane_clock *clock = e->v.device[PV_DEVICE_LANE_CLOCK];
    uint64_t *gpr = e->v.regs->gpr;
    if (!clock)
        return false;
    uint64_t tsc = e->v.exit.virtual_ns + clock->tsc_offset;
    if (e->v.exit.value)
        gpr[RCX] = pv_tsc_aux(&e->v);
    gpr[RAX] = (uint32_t)tsc;
    gpr[RDX] = tsc >> 32;
    return true;
}

const struct native emu_devices_natives[] = {
    {"apic", PV_EXIT_MMIO, 0, 0, apic_access},
    {"event_window", PV_EXIT_EVENT_WINDOW, 0, 0, event_window},
    {"rdtsc", PV_EXIT_RDTSC, 0, 0, rdtsc},
};
const uint32_t n_emu_devices_natives = sizeof emu_devices_natives / sizeof emu_devices_natives[0];
