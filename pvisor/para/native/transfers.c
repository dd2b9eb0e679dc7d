/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IRET by hypercall in C. The twin is para/transfers.py, which tells a wrong frame by its error. With TF it is served
 * there as well: here, the engine would see the flag before the first instruction has run.
 */
#include "para/native/cpu.h"

static bool iret(struct engine *e)
{
    pv_exit *x = &e->v.exit;
    pv_registers *regs = e->v.regs;
    struct pv_iret_frame frame;
    pv_segment code, stack;
    if (!cpu_of(e) || pv_copy_in(&e->v, x->args[0], &frame, sizeof frame))
        return false;
    if (frame.rflags & (RFLAGS_REFUSED | RFLAGS_TF) || !find_segments(e, &frame, &code, &stack))
        return false;
    regs->gpr[RAX] = frame.rax;
    regs->gpr[RCX] = frame.rcx;
    regs->gpr[R11] = frame.r11;
    regs->gpr[RDI] = frame.rdi;
    regs->gpr[RSP] = frame.rsp;
    regs->rip = frame.rip;
    set_segment(e, SEG_CS, &code);
    set_segment(e, SEG_SS, &stack);
    pv_set_rflags(&e->v, (frame.rflags & RFLAGS_KEPT) | 2);
    if ((frame.cs & 3) == 3) {
        clear_data_for_user(e);
        exchange_gs(e);
        enter_user(e);
        cpu_of(e)->in_user = 1;
    }
    vcpu_info(e)->upcall_mask = !(frame.rflags & RFLAGS_IF);
    e->v.event_pending = is_upcall_due(e);
    if (e->v.event_pending)
        refresh_limit(e);
    x->result = 0;
    x->is_answered = 1;
    return true;
}

const struct native para_transfers_natives[] = {
    {"iret", PV_EXIT_HYPERCALL, PV_HC_IRET, 0, iret},
};
const uint32_t n_para_transfers_natives = sizeof para_transfers_natives / sizeof para_transfers_natives[0];
