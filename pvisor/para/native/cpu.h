/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the native rooms of the paravirtual CPU share. Each of them has a twin of the same name in pvisor/para.
 *
 * A native handler returns false where anything is out of the ordinary, and has changed nothing that its Python twin,
 * which then does it all, would not change as well.
 */
#ifndef PV_PARA_CPU_H
#define PV_PARA_CPU_H
#include "pv/abi.h"
#include "api.h"
#include "cpu/shim/shim.h"
#include "para/native/cpu_state.h"

enum { RFLAGS_IF = 1 << 9, RFLAGS_REFUSED = 1 << 17 | 1 << 14 | 3 << 12 }; /* VM, NT, IOPL */
enum { RFLAGS_AT_ENTRY = 2, RFLAGS_KEPT = 0x240dd5 };

/* Bits of a descriptor's second dword (SDM 3A 3.4.5). */
enum {
    SEGMENT_WRITABLE = 1 << 9, SEGMENT_CODE = 1 << 11, SEGMENT_PRESENT = 1 << 15, SEGMENT_LONG = 1 << 21,
    SEGMENT_PAGES = 1 << 23, DPL_SHIFT = 13,
};

struct segment_cache {         /* the engine's segment registers */
    uint32_t selector, unused;
    uint64_t base;
    uint32_t limit, flags;
};

static inline const struct segment_cache *segment_at(struct engine *e, int index)
{
    return (const struct segment_cache *)(e->state + e->at.segs + 24 * (uint32_t)index);
}

/* NULL where a domain has no such state: then nothing here is served. */
static inline pv_para_cpu *cpu_of(struct engine *e)
{
    return e->v.device[PV_DEVICE_CPU];
}

/* The vCPU's part of the shared page: the guest may write there at any time. */
static inline volatile struct pv_vcpu_info *vcpu_info(struct engine *e)
{
    return (volatile struct pv_vcpu_info *)(e->ram + cpu_of(e)->vcpu_info);
}

static inline bool is_upcall_due(struct engine *e)
{
    return cpu_of(e)->upcall_entry && vcpu_info(e)->upcall_pending && !vcpu_info(e)->upcall_mask;
}

/* --- interrupts.c */
uint64_t frame_rflags(struct engine *e);
bool enter_at(struct engine *e, uint64_t entry, uint32_t flags, uint64_t error_code, uint64_t rip);

/* --- segments.c */
void enter_kernel_segments(struct engine *e);
void exchange_gs(struct engine *e);
void clear_data_for_user(struct engine *e);
bool find_segments(struct engine *e, const struct pv_iret_frame *frame, pv_segment *code, pv_segment *stack);

/* --- paging.c */
void enter_user(struct engine *e);
void enter_kernel(struct engine *e);
#endif
