/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IRET in C, within ring 0 or ring 3 and from 0 to 3 (SDM 2A, IRET). The twin is full/transfers.py. */
#include "full/native/cpu.h"

struct popped {                /* the frame, widened */
    uint64_t rip, cs, rflags, rsp, ss;
};

/* Of a stack of words of 2, 4 or 8 bytes, those from index `first` on. */
static bool pop_words(struct engine *e, uint64_t *words, uint32_t first, uint32_t n, uint32_t width)
{
    uint8_t raw[5 * 8];
    uint64_t at = stack_address(e, e->v.regs->gpr[RSP] + first * width);
    if (!read_guest(e, at, raw, n * width, at_level(e, READ)))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        words[i] = 0;
        memcpy(&words[i], raw + i * width, width);
    }
    return true;
}

static bool pop_frame(struct engine *e, struct popped *frame, uint32_t width, struct descriptor *code)
{
    uint64_t *words = &frame->rip;
    bool mode64 = in_64bit_code(e);
    uint32_t cpl = virtual_cpl(e);
    if (!pop_words(e, words, 0, mode64 ? 5 : 3, width))
        return false;
    uint32_t rpl = frame->cs & 3;
    if (!find_descriptor(e, frame->cs & 0xffff, code) || !can_enter(e, code) || rpl < cpl || (rpl != cpl && rpl != 3))
        return false;
    if (is_conforming(code) ? dpl_of(code) > rpl : dpl_of(code) != rpl)
        return false;
    if (!can_hold(e, code, frame->rip))
        return false;
    return mode64 || rpl == cpl || pop_words(e, words + 3, 3, 2, width);
}

/* What IRET may change: ring 3 not IOPL, and IF only where IOPL lets it. */
static uint64_t returned_flags(uint64_t old, uint64_t popped, uint32_t width, uint32_t cpl)
{
    uint64_t kept = width == 2 ? old & ~0xffffull : 0;
    if (cpl) {
        uint64_t fixed = RFLAGS_IOPL | (cpl > (old >> 12 & 3) ? RFLAGS_IF : 0);
        kept |= old & fixed;
        popped &= ~fixed;
    }
    return popped | kept;
}

static void set_stack(struct engine *e, const struct popped *frame, const pv_segment *stack, bool to_64bit, bool outer)
{
    uint64_t *rsp = &e->v.regs->gpr[RSP];
    set_segment(e, SEG_SS, stack);
    if (!outer || to_64bit)
        *rsp = frame->rsp;
    else if (stack->flags & SEGMENT_BIG)
        *rsp = (uint32_t)frame->rsp;
    else
        *rsp = (*rsp & ~0xffffull) | (frame->rsp & 0xffff);
}

static bool iret(struct engine *e)
{
    pv_exit *x = &e->v.exit;
    struct insn insn;
    struct popped frame;
    struct descriptor code;
    pv_segment stack;
    if (!is_pc(e) || e->v.nmi_blocked || !parse(e, &insn) || insn.segment >= 0)
        return false;
    uint32_t width = operand_bytes(e, &insn), cpl = virtual_cpl(e);
    uint64_t old = guest_rflags(e);
    if (old & RFLAGS_NT || !pop_frame(e, &frame, width, &code) || frame.rflags & (RFLAGS_TF | RFLAGS_VM))
        return false;
    uint32_t rpl = frame.cs & 3;
    bool outer = rpl > cpl, pops_stack = outer || in_64bit_code(e);
    bool to_64bit = code.flags & SEGMENT_LONG && (!outer || is_long(e));
    if (pops_stack && !find_stack(e, frame.ss & 0xffff, rpl, to_64bit, &stack))
        return false;
    uint64_t within = moved_stack(e, 3 * (int64_t)width);
    load_code(e, frame.cs & 0xffff, &code, rpl);
    if (pops_stack)
        set_stack(e, &frame, &stack, to_64bit, outer);
    else
        e->v.regs->gpr[RSP] = within;
    if (outer)
        clear_kernel_data(e);
    x->n_ops = 2;
    x->ops[0] = frame.cs & 0xffff;
    x->ops[1] = frame.rip;
    set_guest_rflags(e, returned_flags(old, frame.rflags, width, cpl));
    e->v.regs->rip = frame.rip;
    e->v.insns++;
    if (frame.rflags & RFLAGS_RF)
        e->v.rf_insns = e->v.insns;
    return true;
}

const struct native full_transfers_natives[] = {
    {"iret", PV_EXIT_IRET, 0, 0, iret},
};
const uint32_t n_full_transfers_natives = sizeof full_transfers_natives / sizeof full_transfers_natives[0];
