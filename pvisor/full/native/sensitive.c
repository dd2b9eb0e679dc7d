/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In C (full/sensitive.py): PUSHF and POPF, with CLI and STI how a kernel guards what an interrupt must not see; and
 * the questions about descriptors, of which VERW is asked at each return to user code, where it clears buffers.
 */
#include "full/native/cpu.h"

/* What POPF takes from the stack (SDM 2B, POPF): all but VM, RF, VIF, VIP and what is reserved. */
enum { POPPED = 0x247fd5, RFLAGS_ZF = 1 << 6 };

static bool pushf(struct engine *e)
{
    struct insn insn;
    struct place place;
    if (!is_pc(e) || !parse(e, &insn) || insn.segment >= 0)
        return false;
    uint32_t n_bytes = stack_bytes(e, &insn);
    uint64_t rsp = moved_stack(e, -(int64_t)n_bytes);
    if (!find_place(e, stack_address(e, rsp), n_bytes, at_level(e, WRITE), &place))
        return false;
    uint64_t value = guest_rflags(e) & ~(uint64_t)(RFLAGS_VM | RFLAGS_RF);
    store(e, &place, &value);
    e->v.regs->gpr[RSP] = rsp;
    return step_to(e, e->v.exit.next_rip);
}

static bool popf(struct engine *e)
{
    struct insn insn;
    uint64_t popped = 0;
    if (!is_pc(e) || !parse(e, &insn) || insn.segment >= 0)
        return false;
    uint32_t n_bytes = stack_bytes(e, &insn);
    if (!read_guest(e, stack_address(e, e->v.regs->gpr[RSP]), &popped, n_bytes, at_level(e, READ)) || popped & RFLAGS_TF)
        return false;
    uint64_t changes = n_bytes > 2 ? POPPED : POPPED & 0xffff;
    if (in_user_code(e))
        changes &= ~(uint64_t)(RFLAGS_IOPL | (cpu_of(e)->iopl < 3 ? RFLAGS_IF : 0));
    uint64_t rsp = moved_stack(e, n_bytes), old = guest_rflags(e);
    set_guest_rflags(e, (old & ~changes & ~(uint64_t)RFLAGS_RF) | (popped & changes));
    e->v.regs->gpr[RSP] = rsp;
    return step_to(e, e->v.exit.next_rip);
}

enum question { LAR, LSL, VERR, VERW };

/* May this level see the segment? */
static bool is_visible(struct engine *e, uint32_t selector, const struct descriptor *d)
{
    uint32_t rpl = selector & 3, cpl = virtual_cpl(e);
    return is_conforming(d) || (rpl > cpl ? rpl : cpl) <= dpl_of(d);
}

/* Of code and data, and of no segment. False: of a system descriptor, or one that cannot be read. */
static bool answer(struct engine *e, enum question question, uint32_t selector, bool *zf, uint32_t *value)
{
    struct descriptor d;
    *zf = false;
    if (!(selector & 0xfffc))
        return true;
    if (!find_descriptor(e, selector, &d) || !(d.flags & SEGMENT_NOT_SYSTEM))
        return false;
    *zf = is_visible(e, selector, &d);
    if (question == VERW)
        *zf = *zf && !is_code(&d) && d.flags & SEGMENT_WRITABLE;
    else if (question == VERR)
        *zf = *zf && (!is_code(&d) || d.flags & SEGMENT_WRITABLE); /* of code: readable */
    *value = question == LAR ? d.flags & 0xf0ff00 : limit_of(&d);
    return true;
}

/* Into a register of 2, 4 or 8 bytes. */
static void set_register(struct engine *e, const struct insn *insn, uint32_t index, uint32_t value)
{
    uint64_t *gpr = &e->v.regs->gpr[index | (insn->rex & 4u) << 1];
    *gpr = operand_bytes(e, insn) == 2 ? (*gpr & ~0xffffull) | (uint16_t)value : value;
}

static bool segment_query(struct engine *e)
{
    struct insn insn;
    struct modrm m;
    uint16_t selector;
    uint32_t value;
    bool zf;
    if (!is_pc(e) || !parse(e, &insn) || insn.end - insn.op < 3 || !parse_modrm(e, &insn, insn.op + 2, &m))
        return false;
    enum question question = insn.op[1] == 2 ? LAR : insn.op[1] == 3 ? LSL : m.reg == 4 ? VERR : VERW;
    if (m.mod == 3)
        selector = (uint16_t)e->v.regs->gpr[m.rm | (insn.rex & 1u) << 3];
    else if (!read_guest(e, m.address, &selector, 2, at_level(e, READ)))
        return false;
    if (!answer(e, question, selector, &zf, &value))
        return false;
    if (zf && question <= LSL)
        set_register(e, &insn, m.reg, value);
    uint64_t rflags = pv_get_rflags(&e->v) & ~(uint64_t)RFLAGS_ZF;
    pv_set_rflags(&e->v, rflags | (zf ? RFLAGS_ZF : 0));
    e->v.exit.n_ops = 1;
    e->v.exit.ops[0] = selector;
    return step_over(e, insn.op + 2 + m.n_bytes);
}

const struct native full_sensitive_natives[] = {
    {"pushf", PV_EXIT_PUSHF, 0, 0, pushf},
    {"popf", PV_EXIT_POPF, 0, 0, popf},
    {"segment_query", PV_EXIT_SEGMENT_QUERY, 0, 0, segment_query},
};
const uint32_t n_full_sensitive_natives = sizeof full_sensitive_natives / sizeof full_sensitive_natives[0];
