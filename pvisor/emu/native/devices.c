/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lane's way to the native handlers of the local APIC: its page by MMIO, and the vector of an interrupt. */
#include "emu.h"
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

const struct native emu_devices_natives[] = {
    {"apic", PV_EXIT_MMIO, 0, 0, apic_access},
    {"event_window", PV_EXIT_EVENT_WINDOW, 0, 0, event_window},
};
const uint32_t n_emu_devices_natives = sizeof emu_devices_natives / sizeof emu_devices_natives[0];
