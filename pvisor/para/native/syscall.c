/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SYSCALL of user code in C: the kernel is entered as by a trap. The twin is para/syscall.py. */
#include "para/native/cpu.h"

/* The engine adds the length of the instruction to RIP when its hook returns. */
static bool system_call(struct engine *e)
{
    const pv_exit *x = &e->v.exit;
    const pv_para_cpu *c = cpu_of(e);
    if (!c || !c->syscall_entry || !in_user_code(e) || !in_64bit_code(e))
        return false;
    uint64_t rflags = frame_rflags(e);
    if (!enter_at(e, c->syscall_entry, c->syscall_flags, 0, x->next_rip))
        return false;
    e->v.regs->gpr[RCX] = x->next_rip;
    e->v.regs->gpr[R11] = rflags;
    e->v.regs->rip -= x->next_rip - x->rip;
    e->v.insns++;
    return true;
}

const struct native para_syscall_natives[] = {
    {"syscall", PV_EXIT_SYSCALL, 0, 0, system_call},
};
const uint32_t n_para_syscall_natives = sizeof para_syscall_natives / sizeof para_syscall_natives[0];
