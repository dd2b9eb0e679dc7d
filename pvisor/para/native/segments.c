/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Segments at the ways into the kernel and out of it, in C (twin: para/segments.py). */
#include "para/native/cpu.h"

void enter_kernel_segments(struct engine *e)
{
    static const pv_segment code = {.selector = PV_KERNEL_CS, .limit = 0xffffffff, .flags = 0xafbb00};
    static const pv_segment stack = {.selector = PV_KERNEL_SS, .limit = 0xffffffff, .flags = 0xcfb300};
    set_segment(e, SEG_CS, &code);
    set_segment(e, SEG_SS, &stack);
}

/* As SWAPGS does it. */
void exchange_gs(struct engine *e)
{
    pv_para_cpu *c = cpu_of(e);
    const struct segment_cache *old = segment_at(e, SEG_GS);
    const pv_segment gs = {
        .selector = old->selector, .limit = old->limit, .base = c->other_gs_base, .flags = old->flags};
    c->other_gs_base = old->base;
    set_segment(e, SEG_GS, &gs);
}

/* After a return to user code: data segments that are not meant for it become null (SDM 2A, IRET). */
void clear_data_for_user(struct engine *e)
{
    static const int data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    static const pv_segment null;
    for (int i = 0; i < 4; i++) {
        const struct segment_cache *segment = segment_at(e, data[i]);
        if (segment->selector & 0xfffc && (segment->flags >> DPL_SHIFT & 3) < 3)
            set_segment(e, data[i], &null);
    }
}

/* What a register holds for a selector whose RPL is its descriptor's DPL. */
static bool find_segment(struct engine *e, uint64_t selector, pv_segment *segment)
{
    if (selector > 0xffff || selector & 4 || selector >> 3 >= PV_N_DESCRIPTORS)
        return false;
    const uint32_t *gdt = (const uint32_t *)host_of_physical(e, cpu_of(e)->gdt);
    uint32_t low = gdt[2 * (selector >> 3)], flags = gdt[2 * (selector >> 3) + 1];
    uint32_t limit = (low & 0xffff) | (flags & 0xf0000);
    if (!(flags & SEGMENT_PRESENT) || (flags >> DPL_SHIFT & 3) != (selector & 3))
        return false;
    *segment = (pv_segment){
        .selector = (uint32_t)selector,
        .limit = flags & SEGMENT_PAGES ? limit << 12 | 0xfff : limit,
        .base = low >> 16 | (flags & 0xff) << 16 | (flags & 0xff000000u),
        .flags = flags,
    };
    return true;
}

/* CS and SS for IRET. */
bool find_segments(struct engine *e, const struct pv_iret_frame *frame, pv_segment *code, pv_segment *stack)
{
    if (!find_segment(e, frame->cs, code) || !find_segment(e, frame->ss, stack))
        return false;
    if (!(code->flags & SEGMENT_CODE) || stack->flags & SEGMENT_CODE || !(stack->flags & SEGMENT_WRITABLE))
        return false;
    if ((frame->cs & 3) != (frame->ss & 3))
        return false;
    if (code->flags & SEGMENT_LONG)
        return (frame->rip >> 47) + 1 <= 1 || frame->rip >> 47 == 0x1ffff;
    return frame->rip <= code->limit;
}
