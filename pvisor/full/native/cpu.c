/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Instructions without an operand in C: CLI, STI, SWAPGS, RDTSC(P). The twin is full/cpu.py. */
#include "full/native/cpu.h"

/*
 * Over CLI or STI. Where the exit does not say (0), RIP is taken from the register: what waits for a value that was just put
 * into memory holds up the engine, whose next step is to look for the block at RIP.
 */
static inline bool step_over_simple(struct engine *e)
{
    uint64_t next_rip = e->v.exit.next_rip;
    return step_to(e, likely(!next_rip) ? e->v.regs->rip + 1 : next_rip);
}

/* Of user code, IOPL decides: rare, so Python does it. */
static bool cli(struct engine *e)
{
    if (in_user_code(e))
        return false;
    e->v.virtual_if = 0;
    *state32(e, e->at.eflags) &= ~(uint32_t)RFLAGS_IF;
    return step_over_simple(e);
}

/* SDM 2B, STI: no event before the instruction after it, if IF was clear. */
static bool sti(struct engine *e)
{
    if (in_user_code(e))
        return false;
    bool was_clear = !e->v.virtual_if;
    e->v.virtual_if = 1;
    *state32(e, e->at.eflags) |= RFLAGS_IF;
    step_over_simple(e);
    if (was_clear) {
        e->v.sti_insns = e->v.insns;
        if (unlikely(e->v.event_pending))
            refresh_limit(e);
    }
    return true;
}

/* 0F 01 F8, in 64-bit code of the kernel. */
static bool swapgs(struct engine *e)
{
    if (!is_pc(e) || !in_64bit_code(e) || in_user_code(e) || e->v.exit.n_insn < 3 || e->v.exit.insn[0] != 0x0f)
        return false;
    pv_cpu *c = cpu_of(e);
    uint64_t base = segment_at(e, SEG_GS)->base;
    set_base(e, SEG_GS, c->kernel_gs_base);
    c->kernel_gs_base = base;
    return step_over(e, e->v.exit.insn + 3);
}

/* RDTSC, and RDTSCP where exit.value says so. The engine's hook steps over it. */
static bool rdtsc(struct engine *e)
{
    const pv_cpu *c = cpu_of(e);
    if (!is_pc(e))
        return false;
    uint64_t *gpr = e->v.regs->gpr, tsc = e->v.exit.virtual_ns + c->tsc_offset;
    gpr[RAX] = (uint32_t)tsc;
    gpr[RDX] = tsc >> 32;
    if (e->v.exit.value)
        gpr[RCX] = (uint32_t)c->tsc_aux;
    return true;
}

const struct native full_cpu_natives[] = {
    {"cli", PV_EXIT_CLI, 0, 0, cli},
    {"sti", PV_EXIT_STI, 0, 0, sti},
    {"swapgs", PV_EXIT_SWAPGS, 0, 0, swapgs},
    {"rdtsc", PV_EXIT_RDTSC, 0, 0, rdtsc},
};
const uint32_t n_full_cpu_natives = sizeof full_cpu_natives / sizeof full_cpu_natives[0];
