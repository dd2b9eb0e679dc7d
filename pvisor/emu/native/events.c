/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events: the engine's hooks say what happened, the engine's own delivery goes through the guest's tables.
 *
 * Delivery may meet a fault. It then leaves by longjmp, past this file, and the fault comes to the same hook; so
 * everything is counted and recorded before, and a flag that is still set tells that it was so.
 */
#include "cpu/shim/api.h"
#include "emu.h"

enum { VECTOR_UD = 6, VECTOR_DF = 8, VECTOR_GP = 13, VECTOR_PF = 14 };
enum { DESC_CODE = 0x00009b00, DESC_DATA = 0x00009300, DESC_G = 1 << 23, DESC_B = 1 << 22, DESC_L = 1 << 21 };

static uint32_t reason_of(uint32_t vector)
{
    switch (vector) {
    case VECTOR_PF: return PV_EXIT_PAGE_FAULT;
    case VECTOR_UD: return PV_EXIT_INVALID_OPCODE;
    case VECTOR_GP: return PV_EXIT_GENERAL_PROTECTION;
    default: return PV_EXIT_EXCEPTION;
    }
}

static void served(struct engine *e)
{
    e->served_natively = true;
    complete_exit(e);
}

static void deliver(struct engine *e, bool is_double_fault)
{
    struct lane *lane = e->lane;
    lane->delivering = true;
    lane->delivering_df = is_double_fault;
    if (unlikely(!lane_tr_is_tss(e)))
        repair_tr(e);
    internals.do_interrupt(lane->cpu);
    lane->delivering = lane->delivering_df = false;
}

/* A handler that faults at its first instruction would fault for ever, and no block hook would see it. */
static bool without_progress(struct engine *e)
{
    struct lane *lane = e->lane;
    lane->n_faults = e->v.insns == lane->faults_at ? lane->n_faults + 1 : 0;
    lane->faults_at = e->v.insns;
    return lane->n_faults >= FAULTS_WITHOUT_PROGRESS;
}

static void note(struct engine *e, uint32_t vector, uint32_t error)
{
    struct lane *lane = e->lane;
    if (!lane->delivering)
        lane->n_chain = 0;
    if (lane->n_chain < LANE_CHAIN)
        lane->chain[lane->n_chain++] = (struct lane_fault){vector, error, lane_cr2(e)};
}

static void fault(struct engine *e, uint32_t vector, uint32_t error)
{
    pv_exit *x = &e->v.exit;
    uint64_t rip = e->v.regs->rip;
    uncredit_from(e, linear_of(e, rip));
    note(e, vector, error);
    open_exit(e, reason_of(vector), rip, 0);
    x->vector = vector;
    x->error_code = error;
    x->n_ops = 2;
    x->ops[0] = vector;
    x->ops[1] = error;
    if (vector == VECTOR_PF)
        x->ops[0] = x->cr2 = lane_cr2(e);
    if (unlikely(without_progress(e))) {
        stop(e);
        return;
    }
    served(e);
    deliver(e, vector == VECTOR_DF);
}

/* The engine has moved RIP past the instruction: INT n has two bytes, INT3, INTO and INT1 have one. */
static void soft_int(struct engine *e, uint32_t vector)
{
    uint64_t next_rip = e->v.regs->rip;
    uint8_t bytes[2];
    bool two = fetch(e, linear_of(e, next_rip - 2), bytes, 2) == 2 && bytes[0] == 0xcd && bytes[1] == vector;
    uint64_t rip = next_rip - (two ? 2 : 1);
    uncredit_from(e, linear_of(e, rip));
    open_exit(e, PV_EXIT_SOFT_INT, rip, next_rip);
    e->v.exit.vector = vector;
    e->v.exit.error_code = 0;
    e->v.exit.n_ops = 1;
    e->v.exit.ops[0] = vector;
    served(e);
    e->lane->n_chain = 0;
    e->v.regs->rip = rip; /* a fault on the way names the instruction itself */
    deliver(e, false);
    e->v.insns++;
}

void lane_on_interrupt(uc_engine *uc, uint32_t vector, void *user)
{
    (void)uc;
    struct engine *e = user;
    if (unlikely(e->stopping)) {
        *state32(e, e->at.old_exception) = (uint32_t)-1;
        return; /* the block of an IN or OUT that ended the run runs on, but to no effect */
    }
    if (*state32(e, e->at.exception_is_int))
        soft_int(e, vector);
    else
        fault(e, vector, *state32(e, e->at.error_code));
}

/* #UD, and INT 6. */
bool lane_on_invalid(uc_engine *uc, void *user)
{
    (void)uc;
    struct engine *e = user;
    if (e->stopping)
        return true;
    if (*state32(e, e->at.exception_is_int)) {
        uint8_t bytes[2];
        uint64_t rip = e->v.regs->rip;
        if (fetch(e, linear_of(e, rip), bytes, 2) == 2 && bytes[0] == 0xcd && bytes[1] == VECTOR_UD)
            e->v.regs->rip = rip + 2;
        soft_int(e, VECTOR_UD);
    } else {
        fault(e, VECTOR_UD, 0);
    }
    return true;
}

/* --- SYSCALL and SYSENTER, of which the engine only calls the hooks --------------------------------- */

static void load_flat(struct engine *e, int index, uint32_t selector, uint32_t flags)
{
    const pv_segment segment = {.selector = selector, .limit = 0xffffffff, .flags = flags | DESC_G};
    set_segment(e, index, &segment);
}

/* Gives back what the block counts from `rip` on; SYSCALL and SYSENTER end their blocks and count as executed. */
static void open_call(struct engine *e, uint32_t reason, uint64_t rip, uint64_t next_rip)
{
    e->v.insns--;
    open_exit(e, reason, rip, next_rip);
    served(e);
    e->v.insns++;
    e->block.insns = 0;
}

/* SDM 2B, SYSCALL; outside 64-bit mode as AMD has it and QEMU does (AMD APM 3). */
void lane_on_syscall(uc_engine *uc, void *user)
{
    (void)uc;
    struct engine *e = user;
    if (unlikely(e->stopping))
        return;
    uint64_t rip = e->v.regs->rip, length = e->block_address + e->block.bytes - linear_of(e, rip); /* prefixes, too */
    uint64_t next_rip = rip + length, efer = lane_efer(e), star = *state64(e, internals.at.star);
    if (!(efer & EFER_SCE)) {
        internals.raise(e->state, VECTOR_UD, 0);
        return;
    }
    open_call(e, PV_EXIT_SYSCALL, rip, next_rip);
    uint64_t rflags = pv_get_rflags(&e->v), target, cleared = FLAG_IF | FLAG_VM;
    uint64_t *gpr = e->v.regs->gpr;
    uint32_t selector = star >> 32 & 0xfffc;
    bool is_long = efer & EFER_LMA;
    if (is_long) {
        gpr[RCX] = next_rip;
        gpr[R11] = rflags & ~(uint64_t)FLAG_RF;
        target = *state64(e, in_64bit_code(e) ? internals.at.lstar : internals.at.cstar);
        cleared = *state64(e, internals.at.fmask);
    } else {
        gpr[RCX] = (uint32_t)next_rip;
        target = (uint32_t)star;
    }
    load_flat(e, SEG_CS, selector, DESC_CODE | (is_long ? DESC_L : DESC_B));
    load_flat(e, SEG_SS, selector + 8, DESC_DATA | DESC_B);
    pv_set_rflags(&e->v, rflags & ~(cleared | FLAG_RF));
    e->v.regs->rip = target - length; /* the engine adds it when the hook returns */
}

/* SDM 2B, SYSENTER. */
void lane_on_sysenter(uc_engine *uc, void *user)
{
    (void)uc;
    struct engine *e = user;
    if (unlikely(e->stopping))
        return;
    uint64_t rip = e->v.regs->rip, length = e->block_address + e->block.bytes - linear_of(e, rip);
    uint32_t selector = *state32(e, internals.at.sysenter_cs) & 0xfffc;
    if (!selector) {
        internals.raise(e->state, VECTOR_GP, 0);
        return;
    }
    open_call(e, PV_EXIT_SYSENTER, rip, rip + length);
    bool is_long = lane_efer(e) & EFER_LMA;
    uint64_t mask = is_long ? UINT64_MAX : UINT32_MAX;
    load_flat(e, SEG_CS, selector, DESC_CODE | (is_long ? DESC_L : DESC_B));
    load_flat(e, SEG_SS, selector + 8, DESC_DATA | DESC_B);
    /* Of the status flags the engine keeps its own account, and has not brought it up to date in this hook. */
    *state32(e, e->at.eflags) &= ~(uint32_t)(FLAG_VM | FLAG_IF | FLAG_RF);
    e->v.regs->gpr[RSP] = *state64(e, internals.at.sysenter_esp) & mask;
    e->v.regs->rip = (*state64(e, internals.at.sysenter_eip) & mask) - length;
}
