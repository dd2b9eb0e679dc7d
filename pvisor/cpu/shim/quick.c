/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CLI and STI, the exits that kernels make most: one byte says all, so the exit needs no more than that. What is rare is in
 * functions of its own, last: so nothing has to be saved on the stack for it.
 */
#include "shim.h"

enum { VECTOR_GP = 13 };

/* CLI or STI with all that an exit has. */
static __attribute__((noinline)) bool full_trap(struct engine *e, uint32_t reason, uint64_t rip)
{
    open_exit(e, reason, rip, rip + 1);
    e->v.exit.vector = VECTOR_GP;
    e->v.exit.error_code = 0;
    dispatch(e, e->native[reason]);
    return true;
}

/* CLI or STI with no more than its handler looks at, where nobody records or times the exit. */
static inline bool serve_quickly(struct engine *e, uint32_t reason, uint64_t rip)
{
    native_handler *handler = e->native[reason];
    if (!handler || e->records || e->v.time_exits || e->v.debugging || *state32(e, e->at.eflags) & RFLAGS_TF)
        return full_trap(e, reason, rip);
    pv_exit *x = &e->v.exit;
    x->reason = reason;
    x->next_rip = 0; /* one byte further */
    if (unlikely(!handler(e)))
        return full_trap(e, x->reason, e->v.regs->rip);
    e->v.counters[x->reason].count++;
    e->v.counters[x->reason].native++;
    e->v.exits_total++;
    return true;
}

static __attribute__((noinline)) bool trap_in_mid_block(struct engine *e, uint32_t reason, uint64_t rip)
{
    uncredit_from(e, linear_of(e, rip));
    return serve_quickly(e, reason, rip);
}

/* After a #GP with error code 0. False: it was neither of the two, and nothing has been done. */
bool quick_trap(struct engine *e, uint64_t rip)
{
    uint64_t linear = linear_of(e, rip);
    const uint8_t *code = code_at(e, linear);
    if (unlikely(!code) || in_user_code(e))
        return false;
    uint32_t reason = *code == 0xfa ? PV_EXIT_CLI : *code == 0xfb ? PV_EXIT_STI : PV_EXIT_NONE;
    if (!reason)
        return false;
    if (unlikely(linear + 1 != e->block_address + e->block.bytes))
        return trap_in_mid_block(e, reason, rip);
    e->v.insns--;
    return serve_quickly(e, reason, rip);
}
