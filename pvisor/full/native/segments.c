/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segment registers from the guest's own tables in C, as full/segments.py does it: the real register gets the
 * guest's descriptor with DPL 0 raised to 1, the visible selector stays the guest's.
 */
#include "full/native/cpu.h"

/* An entry of GDT or LDT. False: none, beyond its table, or its memory faults. */
bool find_descriptor(struct engine *e, uint32_t selector, struct descriptor *d)
{
    const pv_cpu *c = cpu_of(e);
    uint64_t base = c->gdtr.base, limit = c->gdtr.limit, offset = selector & 0xfff8;
    if (!(selector & 0xfffc))
        return false;
    if (selector & 4) {
        if (!(c->ldtr.selector & 0xfffc))
            return false;
        base = c->ldtr.base;
        limit = c->ldtr.limit;
    }
    return offset + 7 <= limit && read_guest(e, base + offset, d, sizeof *d, READ);
}

uint32_t limit_of(const struct descriptor *d)
{
    uint32_t limit = (d->low & 0xffff) | (d->flags & 0xf0000);
    return d->flags & SEGMENT_PAGES ? limit << 12 | 0xfff : limit;
}

/* What the real register gets. */
static pv_segment shadow_of(struct engine *e, uint32_t selector, const struct descriptor *d, uint32_t real_dpl)
{
    uint32_t flags = (d->flags & ~(3u << DPL_SHIFT)) | real_dpl << DPL_SHIFT;
    if (!is_long(e))
        flags &= ~(uint32_t)SEGMENT_LONG;
    return (pv_segment){
        .selector = selector,
        .limit = limit_of(d),
        .base = d->low >> 16 | (d->flags & 0xff) << 16 | (d->flags & 0xff000000u),
        .flags = flags,
    };
}

/* Can be entered in this mode, and nobody needs to set its accessed bit. */
bool can_enter(struct engine *e, const struct descriptor *d)
{
    enum { NEEDED = SEGMENT_NOT_SYSTEM | SEGMENT_CODE | SEGMENT_PRESENT | SEGMENT_ACCESSED };
    if ((d->flags & NEEDED) != NEEDED)
        return false;
    return !(is_long(e) && d->flags & SEGMENT_LONG && d->flags & SEGMENT_BIG);
}

bool can_hold(struct engine *e, const struct descriptor *d, uint64_t rip)
{
    return d->flags & SEGMENT_LONG && is_long(e) ? is_canonical(rip) : rip <= limit_of(d);
}

/* What SS gets at level CPL. False: a fault, or an accessed bit to be set. */
bool find_stack(struct engine *e, uint32_t selector, uint32_t cpl, bool to_64bit_code, pv_segment *stack)
{
    enum { NEEDED = SEGMENT_NOT_SYSTEM | SEGMENT_WRITABLE | SEGMENT_PRESENT | SEGMENT_ACCESSED };
    uint32_t real_dpl = cpl == 3 ? 3 : REAL_KERNEL_DPL;
    struct descriptor d;
    if ((selector & 3) != cpl)
        return false;
    if (!(selector & 0xfffc)) {
        *stack = (pv_segment){.selector = selector, .flags = real_dpl << DPL_SHIFT};
        return to_64bit_code && cpl != 3;
    }
    if (!find_descriptor(e, selector, &d) || dpl_of(&d) != cpl || d.flags & SEGMENT_CODE || (d.flags & NEEDED) != NEEDED)
        return false;
    *stack = shadow_of(e, selector, &d, real_dpl);
    return true;
}

/* DS, ES, FS, GS (SDM 2B, MOV). */
static bool find_data(struct engine *e, uint32_t selector, pv_segment *data)
{
    enum { NEEDED = SEGMENT_NOT_SYSTEM | SEGMENT_PRESENT | SEGMENT_ACCESSED };
    struct descriptor d;
    if (!(selector & 0xfffc)) {
        *data = (pv_segment){.selector = selector};
        return true;
    }
    if (!find_descriptor(e, selector, &d) || (d.flags & NEEDED) != NEEDED)
        return false;
    if (d.flags & SEGMENT_CODE && !(d.flags & SEGMENT_WRITABLE)) /* of code: readable */
        return false;
    uint32_t dpl = dpl_of(&d), level = selector & 3, cpl = virtual_cpl(e);
    if (!is_conforming(&d) && (level > cpl ? level : cpl) > dpl)
        return false;
    *data = shadow_of(e, selector, &d, dpl ? dpl : REAL_KERNEL_DPL);
    return true;
}

/* A descriptor that can be entered becomes the code segment, at a virtual level of 0 or 3. */
void load_code(struct engine *e, uint32_t selector, const struct descriptor *d, uint32_t cpl)
{
    pv_segment code = shadow_of(e, (selector & 0xfffc) | cpl, d, cpl == 3 ? 3 : REAL_KERNEL_DPL);
    set_segment(e, SEG_CS, &code);
}

/* CS or SS as SYSCALL and its kin set them: fixed, no table is read. */
void load_flat(struct engine *e, int index, uint32_t selector, uint32_t flags, uint32_t cpl)
{
    pv_segment flat = {
        .selector = (selector & 0xfffc) | cpl,
        .limit = 0xffffffff,
        .flags = (flags & ~(3u << DPL_SHIFT)) | (cpl == 3 ? 3u : REAL_KERNEL_DPL) << DPL_SHIFT,
    };
    set_segment(e, index, &flat);
}

void set_base(struct engine *e, int index, uint64_t base)
{
    const struct segment_cache *old = segment_at(e, index);
    pv_segment segment = {.selector = old->selector, .limit = old->limit, .base = base, .flags = old->flags};
    set_segment(e, index, &segment);
}

/* After a return to ring 3: data segments that are not meant for it become null (SDM 2A, IRET). */
void clear_kernel_data(struct engine *e)
{
    static const int data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    static const pv_segment null;
    for (int i = 0; i < 4; i++) {
        const struct segment_cache *segment = segment_at(e, data[i]);
        bool conforming = segment->flags & SEGMENT_CODE && segment->flags & SEGMENT_CONFORMING;
        if (segment->selector & 0xfffc && (segment->flags >> DPL_SHIFT & 3) < 3 && !conforming)
            set_segment(e, data[i], &null);
    }
}

/* --- MOV and POP to a segment register */

/* Loads it and steps over the instruction; after SS no event comes before the next one (SDM 3A 6.8.3). */
static bool load(struct engine *e, int index, uint32_t selector, uint64_t rsp, const uint8_t *end)
{
    pv_exit *x = &e->v.exit;
    pv_segment segment;
    if (index == SEG_SS ? !find_stack(e, selector, virtual_cpl(e), in_64bit_code(e), &segment) : !find_data(e, selector, &segment))
        return false;
    x->n_ops = 1;
    x->ops[0] = selector;
    set_segment(e, index, &segment);
    e->v.regs->gpr[RSP] = rsp;
    step_over(e, end);
    if (index == SEG_SS)
        e->v.sti_insns = e->v.insns;
    return true;
}

static bool move(struct engine *e, const struct insn *insn)
{
    struct modrm m;
    uint16_t selector;
    if (!parse_modrm(e, insn, insn->op + 1, &m) || m.reg > SEG_GS || m.reg == SEG_CS || insn->rex & 4)
        return false;
    if (m.mod == 3)
        selector = (uint16_t)e->v.regs->gpr[m.rm | (insn->rex & 1u) << 3];
    else if (!read_guest(e, m.address, &selector, 2, at_level(e, READ)))
        return false;
    return load(e, (int)m.reg, selector, e->v.regs->gpr[RSP], insn->op + 1 + m.n_bytes);
}

static bool pop(struct engine *e, const struct insn *insn, int index, const uint8_t *end)
{
    uint16_t selector;
    if (!read_guest(e, stack_address(e, e->v.regs->gpr[RSP]), &selector, 2, at_level(e, READ)))
        return false;
    return load(e, index, selector, moved_stack(e, stack_bytes(e, insn)), end);
}

static bool segment_load(struct engine *e)
{
    struct insn insn;
    if (!is_pc(e) || !parse(e, &insn))
        return false;
    switch (insn.op[0]) {
    case 0x8e: return move(e, &insn);
    case 0x07: return pop(e, &insn, SEG_ES, insn.op + 1);
    case 0x17: return pop(e, &insn, SEG_SS, insn.op + 1);
    case 0x1f: return pop(e, &insn, SEG_DS, insn.op + 1);
    case 0x0f: break;
    default: return false; /* LES, LDS */
    }
    if (insn.end - insn.op < 2 || (insn.op[1] != 0xa1 && insn.op[1] != 0xa9))
        return false;
    return pop(e, &insn, insn.op[1] == 0xa1 ? SEG_FS : SEG_GS, insn.op + 2);
}

const struct native full_segments_natives[] = {
    {"segment_load", PV_EXIT_SEGMENT_LOAD, 0, 0, segment_load},
};
const uint32_t n_full_segments_natives = sizeof full_segments_natives / sizeof full_segments_natives[0];
