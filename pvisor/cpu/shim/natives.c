/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The dispatch table of native handlers: what the wings' rooms offer, switched on one by one. */
#include "api.h"
#include "shim.h"

/* In pvisor/{full,emu,para}/native: a table of each room that has some. */
#define NATIVES(room)                             \
    extern const struct native room##_natives[]; \
    extern const uint32_t n_##room##_natives
NATIVES(full_block);
NATIVES(full_console);
NATIVES(full_control);
NATIVES(full_cpu);
NATIVES(full_deadlines);
NATIVES(full_interrupts);
NATIVES(full_msrs);
NATIVES(full_paging);
NATIVES(full_pic);
NATIVES(full_platform);
NATIVES(full_rtc);
NATIVES(full_segments);
NATIVES(full_sensitive);
NATIVES(full_syscall);
NATIVES(full_timer);
NATIVES(full_transfers);
NATIVES(para_cpu);
NATIVES(para_events);
NATIVES(para_interrupts);
NATIVES(para_syscall);
NATIVES(para_transfers);
NATIVES(para_paging);
NATIVES(para_power);
NATIVES(emu_devices);

/* The rooms that offer some, by wing. The emulation lane has the devices of the left wing. */
static const struct room {
    const char *wing;
    const struct native *natives;
    const uint32_t *n_natives;
} rooms[] = {
    {"full", full_cpu_natives, &n_full_cpu_natives},
    {"full", full_control_natives, &n_full_control_natives},
    {"full", full_interrupts_natives, &n_full_interrupts_natives},
    {"full", full_msrs_natives, &n_full_msrs_natives},
    {"full", full_paging_natives, &n_full_paging_natives},
    {"full", full_segments_natives, &n_full_segments_natives},
    {"full", full_sensitive_natives, &n_full_sensitive_natives},
    {"full", full_syscall_natives, &n_full_syscall_natives},
    {"full", full_transfers_natives, &n_full_transfers_natives},
    {"full", full_block_natives, &n_full_block_natives},
    {"emu", full_block_natives, &n_full_block_natives},
    {"full", full_console_natives, &n_full_console_natives},
    {"emu", full_console_natives, &n_full_console_natives},
    {"full", full_deadlines_natives, &n_full_deadlines_natives},
    {"emu", full_deadlines_natives, &n_full_deadlines_natives},
    {"full", full_pic_natives, &n_full_pic_natives},
    {"emu", full_pic_natives, &n_full_pic_natives},
    {"full", full_platform_natives, &n_full_platform_natives},
    {"emu", full_platform_natives, &n_full_platform_natives},
    {"full", full_rtc_natives, &n_full_rtc_natives},
    {"emu", full_rtc_natives, &n_full_rtc_natives},
    {"full", full_timer_natives, &n_full_timer_natives},
    {"emu", full_timer_natives, &n_full_timer_natives},
    {"emu", emu_devices_natives, &n_emu_devices_natives},
    {"para", para_cpu_natives, &n_para_cpu_natives},
    {"para", para_events_natives, &n_para_events_natives},
    {"para", para_interrupts_natives, &n_para_interrupts_natives},
    {"para", para_syscall_natives, &n_para_syscall_natives},
    {"para", para_transfers_natives, &n_para_transfers_natives},
    {"para", para_paging_natives, &n_para_paging_natives},
    {"para", para_power_natives, &n_para_power_natives},
};
enum { N_ROOMS = sizeof rooms / sizeof rooms[0] };

/* The native handler at an index of a wing, or NULL past the last. */
static const struct native *native_at(const char *wing, uint32_t index)
{
    for (int i = 0; i < N_ROOMS; i++) {
        if (strcmp(rooms[i].wing, wing))
            continue;
        if (index < *rooms[i].n_natives)
            return rooms[i].natives + index;
        index -= *rooms[i].n_natives;
    }
    return NULL;
}

uint32_t pv_native_count(const char *wing)
{
    uint32_t n = 0;
    while (native_at(wing, n))
        n++;
    return n;
}

const char *pv_native_name(const char *wing, uint32_t index)
{
    const struct native *native = native_at(wing, index);
    return native ? native->name : NULL;
}

static void enable_at_ioports(struct engine *e, const struct native *native)
{
    uint8_t *by_ioport = e->native_ioport[native->reason == PV_EXIT_IO_OUT];
    e->native_io[e->n_native_io++] = native->handler;
    memset(by_ioport + native->number, (int)e->n_native_io, native->n_numbers);
}

void pv_native_enable(pv_vcpu *v, const char *wing, uint32_t index)
{
    struct engine *e = (struct engine *)v;
    const struct native *native = native_at(wing, index);
    if (!native)
        return;
    if (native->reason == PV_EXIT_HYPERCALL)
        e->native_hypercall[native->number] = native->handler;
    else if (native->reason == PV_EXIT_IO_IN || native->reason == PV_EXIT_IO_OUT)
        enable_at_ioports(e, native);
    else
        e->native[native->reason] = native->handler;
}
