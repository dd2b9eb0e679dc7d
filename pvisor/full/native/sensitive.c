/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PUSHF and POPF in C: with CLI and STI, how a kernel guards what an interrupt must not see (full/sensitive.py). */
#include "full/native/cpu.h"

/* What POPF takes from the stack (SDM 2B, POPF): all but VM, RF, VIF, VIP and what is reserved. */
enum { POPPED = 0x247fd5 };

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

const struct native full_sensitive_natives[] = {
    {"pushf", PV_EXIT_PUSHF, 0, 0, pushf},
    {"popf", PV_EXIT_POPF, 0, 0, popf},
};
const uint32_t n_full_sensitive_natives = sizeof full_sensitive_natives / sizeof full_sensitive_natives[0];
