/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SYSCALL, SYSRET, SYSENTER and SYSEXIT in C (SDM 2B). The twin is full/syscall.py. */
#include "full/native/cpu.h"

/* The segments that these load without a descriptor, with DPL 0. */
enum { FLAT_CODE = 0xcf9b00, FLAT_CODE64 = 0xaf9b00, FLAT_DATA = 0xcf9300 };
enum { SYSRET_FLAGS = 0x3c7fd7 };

static void enter_flat(struct engine *e, uint32_t code, uint32_t code_flags, uint32_t stack, uint32_t cpl)
{
    load_flat(e, SEG_CS, code, code_flags, cpl);
    load_flat(e, SEG_SS, stack, FLAT_DATA, cpl);
}

/* The engine adds the length of the instruction to RIP when its hook returns. */
static bool system_call(struct engine *e)
{
    const pv_cpu *c = cpu_of(e);
    uint64_t *gpr = e->v.regs->gpr;
    if (!is_pc(e) || !(c->efer & EFER_SCE) || !in_64bit_code(e))
        return false;
    uint64_t rflags = guest_rflags(e);
    uint32_t selector = c->star >> 32 & 0xfffc;
    gpr[RCX] = e->v.exit.next_rip;
    gpr[R11] = rflags & ~(uint64_t)RFLAGS_RF;
    enter_flat(e, selector, FLAT_CODE64, selector + 8, 0);
    set_guest_rflags(e, rflags & ~(c->fmask | RFLAGS_RF));
    e->v.regs->rip = c->lstar - (e->v.exit.next_rip - e->v.exit.rip);
    e->v.insns++;
    return true;
}

/* `0F opcode`, with no prefix but REX. */
static bool is_return(struct engine *e, struct insn *insn)
{
    return parse(e, insn) && insn->segment < 0 && !insn->has_operand_prefix && insn->end - insn->op >= 2;
}

static bool sysret(struct engine *e)
{
    const pv_cpu *c = cpu_of(e);
    const uint64_t *gpr = e->v.regs->gpr;
    struct insn insn;
    if (!is_pc(e) || !(c->efer & EFER_SCE) || !in_64bit_code(e) || in_user_code(e) || !is_return(e, &insn))
        return false;
    bool to_64bit = insn.rex & 8;
    uint64_t target = to_64bit ? gpr[RCX] : (uint32_t)gpr[RCX];
    uint32_t selector = (uint32_t)(c->star >> 48);
    if (!is_canonical(target) || gpr[R11] & RFLAGS_TF)
        return false;
    enter_flat(e, to_64bit ? selector + 16 : selector, to_64bit ? FLAT_CODE64 : FLAT_CODE, selector + 8, 3);
    set_guest_rflags(e, (gpr[R11] & SYSRET_FLAGS) | 2);
    e->v.regs->rip = target;
    e->v.insns++;
    return true;
}

/* The hook takes the length from RIP that the engine will add. */
static bool sysenter(struct engine *e)
{
    const pv_cpu *c = cpu_of(e);
    if (!is_pc(e) || !(c->sysenter_cs & 0xfffc))
        return false;
    bool mode64 = is_long(e);
    uint32_t selector = c->sysenter_cs & 0xfffc;
    enter_flat(e, selector, mode64 ? FLAT_CODE64 : FLAT_CODE, selector + 8, 0);
    /* Of the status flags the engine keeps its own account, and has not brought it up to date in this hook. */
    e->v.virtual_if = 0;
    *state32(e, e->at.eflags) &= ~(uint32_t)(RFLAGS_IF | RFLAGS_VM | RFLAGS_RF);
    e->v.regs->gpr[RSP] = mode64 ? c->sysenter_esp : (uint32_t)c->sysenter_esp;
    e->v.regs->rip = mode64 ? c->sysenter_eip : (uint32_t)c->sysenter_eip;
    e->v.insns++;
    return true;
}

static bool sysexit(struct engine *e)
{
    const pv_cpu *c = cpu_of(e);
    uint64_t *gpr = e->v.regs->gpr;
    struct insn insn;
    if (!is_pc(e) || !(c->sysenter_cs & 0xfffc) || in_user_code(e) || !is_return(e, &insn))
        return false;
    bool to_64bit = insn.rex & 8 && is_long(e);
    uint64_t target = to_64bit ? gpr[RDX] : (uint32_t)gpr[RDX], rsp = to_64bit ? gpr[RCX] : (uint32_t)gpr[RCX];
    uint32_t selector = c->sysenter_cs & 0xfffc;
    if (!is_canonical(target) || !is_canonical(rsp))
        return false;
    enter_flat(e, selector + (to_64bit ? 32 : 16), to_64bit ? FLAT_CODE64 : FLAT_CODE, selector + (to_64bit ? 40 : 24), 3);
    gpr[RSP] = rsp;
    e->v.regs->rip = target;
    e->v.insns++;
    return true;
}

const struct native full_syscall_natives[] = {
    {"syscall", PV_EXIT_SYSCALL, 0, 0, system_call},
    {"sysret", PV_EXIT_SYSRET, 0, 0, sysret},
    {"sysenter", PV_EXIT_SYSENTER, 0, 0, sysenter},
    {"sysexit", PV_EXIT_SYSEXIT, 0, 0, sysexit},
};
const uint32_t n_full_syscall_natives = sizeof full_syscall_natives / sizeof full_syscall_natives[0];
