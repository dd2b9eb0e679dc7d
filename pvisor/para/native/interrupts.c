/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events through the guest's trap table in C: exceptions, INT n, upcalls. The twin, para/interrupts.py, knows what
 * happens where there is no handler, or no room for the frame.
 */
#include "para/native/cpu.h"

enum { VECTOR_GP = 13, VECTOR_PF = 14, FROM_IDT = 2 };
enum { MAX_FAULTS_WITHOUT_PROGRESS = 10000 };

/* RFLAGS as a frame shows them: IF says whether upcalls are let in. */
uint64_t frame_rflags(struct engine *e)
{
    return (pv_get_rflags(&e->v) & RFLAGS_KEPT) | 2 | (vcpu_info(e)->upcall_mask ? 0 : RFLAGS_IF);
}

/* The kernel is entered at `entry`, with a frame on its stack. False: nothing has changed. */
bool enter_at(struct engine *e, uint64_t entry, uint32_t flags, uint64_t error_code, uint64_t rip)
{
    pv_para_cpu *c = cpu_of(e);
    pv_registers *regs = e->v.regs;
    bool from_user = in_user_code(e), undoes = from_user && c->in_user;
    uint64_t top = from_user ? c->kernel_stack : regs->gpr[RSP] & ~15ull;
    const struct pv_trap_stack frame = {
        .error_code = error_code,
        .rip = rip,
        .cs = segment_at(e, SEG_CS)->selector,
        .rflags = frame_rflags(e),
        .rsp = regs->gpr[RSP],
        .ss = segment_at(e, SEG_SS)->selector,
    };
    if (from_user && !top)
        return false;
    if (undoes)
        enter_kernel(e);
    if (pv_copy_out(&e->v, top - sizeof frame, &frame, sizeof frame)) {
        if (undoes)
            enter_user(e);
        return false;
    }
    if (undoes) {
        c->in_user = 0;
        exchange_gs(e);
    }
    enter_kernel_segments(e);
    regs->gpr[RSP] = top - sizeof frame;
    regs->rip = entry;
    pv_set_rflags(&e->v, RFLAGS_AT_ENTRY);
    if (flags & PV_TRAP_MASK)
        vcpu_info(e)->upcall_mask = 1;
    return true;
}

/* An exception to its handler. One that faults at its first instruction is Python's to end. */
static bool raise_at(struct engine *e, uint32_t vector, uint64_t error_code)
{
    pv_para_cpu *c = cpu_of(e);
    uint32_t n_there = c->faults_at == e->v.insns ? c->n_faults_there + 1 : 0;
    const pv_para_trap *trap = &c->traps[vector & 255];
    if (!trap->handler || n_there >= MAX_FAULTS_WITHOUT_PROGRESS)
        return false;
    if (vector == VECTOR_PF)
        vcpu_info(e)->cr2 = e->v.exit.cr2;
    if (!enter_at(e, trap->handler, trap->flags, error_code, e->v.exit.rip))
        return false;
    c->faults_at = e->v.insns;
    c->n_faults_there = n_there;
    return true;
}

/* Of these vectors the CPU pushes an error code (SDM 3A table 6-1). */
static bool pushes_error_code(uint32_t vector)
{
    return vector < 32 && (1u << vector & (1u << 8 | 0x1fu << 10 | 1u << 17));
}

static bool exception(struct engine *e)
{
    const pv_exit *x = &e->v.exit;
    return cpu_of(e) && raise_at(e, x->vector, pushes_error_code(x->vector) ? x->error_code : 0);
}

/* #UD; but for INT1, and for RDPMC, which is #GP. */
static bool invalid_opcode(struct engine *e)
{
    const pv_exit *x = &e->v.exit;
    if (!cpu_of(e) || x->n_insn < 2 || x->insn[0] == 0xf1 || (x->insn[0] == 0x0f && x->insn[1] == 0x33))
        return false;
    return raise_at(e, x->vector, 0);
}

/* INT n, INT3, INTO: user code needs leave, as from the DPL of a gate. */
static bool soft_int(struct engine *e)
{
    const pv_exit *x = &e->v.exit;
    if (!cpu_of(e))
        return false;
    const pv_para_trap *trap = &cpu_of(e)->traps[x->vector & 255];
    if (!trap->handler || (in_user_code(e) && !(trap->flags & PV_TRAP_USER_INT)))
        return raise_at(e, VECTOR_GP, x->vector * 8 + FROM_IDT);
    if (!enter_at(e, trap->handler, trap->flags, 0, x->next_rip))
        return false;
    e->v.insns++;
    return true;
}

/* An event is pending, or was: the upcall, unless the guest has masked it meanwhile. */
static bool event_window(struct engine *e)
{
    if (!cpu_of(e))
        return false;
    if (is_upcall_due(e) && !enter_at(e, cpu_of(e)->upcall_entry, PV_TRAP_MASK, 0, e->v.exit.rip))
        return false;
    e->v.event_pending = 0;
    return true;
}

const struct native para_interrupts_natives[] = {
    {"page_fault", PV_EXIT_PAGE_FAULT, 0, 0, exception},
    {"exception", PV_EXIT_EXCEPTION, 0, 0, exception},
    {"general_protection", PV_EXIT_GENERAL_PROTECTION, 0, 0, exception},
    {"invalid_opcode", PV_EXIT_INVALID_OPCODE, 0, 0, invalid_opcode},
    {"soft_int", PV_EXIT_SOFT_INT, 0, 0, soft_int},
    {"event_window", PV_EXIT_EVENT_WINDOW, 0, 0, event_window},
};
const uint32_t n_para_interrupts_natives = sizeof para_interrupts_natives / sizeof para_interrupts_natives[0];
