/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CLI and STI in C: the hottest traps of a PC kernel. Their Python twins are in full/cpu.py. */
#include "cpu/shim/shim.h"

enum { RFLAGS_IF = 0x200 };

static bool emulated(struct engine *e)
{
    e->v.regs->rip = e->v.exit.next_rip;
    e->v.insns++;
    return true;
}

/* Of user code, IOPL decides: rare, so Python does it. */
static bool cli(struct engine *e)
{
    if (in_user_code(e))
        return false;
    e->v.virtual_if = 0;
    *state32(e, e->at.eflags) &= ~(uint32_t)RFLAGS_IF;
    return emulated(e);
}

/* SDM 2B, STI: no event before the instruction after it, if IF was clear. */
static bool sti(struct engine *e)
{
    if (in_user_code(e))
        return false;
    bool was_clear = !e->v.virtual_if;
    e->v.virtual_if = 1;
    *state32(e, e->at.eflags) |= RFLAGS_IF;
    emulated(e);
    if (was_clear) {
        e->v.sti_insns = e->v.insns;
        refresh_limit(e);
    }
    return true;
}

const struct native full_cpu_natives[] = {
    {"cli", PV_EXIT_CLI, 0, 0, cli},
    {"sti", PV_EXIT_STI, 0, 0, sti},
};
const uint32_t n_full_cpu_natives = sizeof full_cpu_natives / sizeof full_cpu_natives[0];
