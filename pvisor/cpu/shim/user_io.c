/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IN, OUT, INS and OUTS of a paravirtual guest's user code, which the engine runs whatever IOPL says. With
 * v.guards_user each is #GP(0), before anything of it is done (SDM 1 19.5).
 *
 * The engine's own intercept comes too late for INS, which has stored a zero by then to find out whether it may, and for
 * OUTS, which has read. So the first of them in a block of user code gets a code hook on its address, and the hook raises
 * the fault, at user code only. Behind it nothing of the block runs.
 *
 * IN and OUT need no hook where the intercept can raise the exception itself: the library exports QEMU's
 * raise_exception_err, which leaves a hook by a jump (user_code.c has its probe). By the context way it cannot be
 * called, and they have code hooks as well.
 *
 * The table of hooks is bounded. What stands beyond it faults in the intercept; by the context way it then does
 * nothing, and IN gives ones.
 */
#include "selftest.h"

enum { VECTOR_UD = 6, VECTOR_GP = 13 };

/* From an intercept. True: it is not to be served. It does not come back where it can raise the fault. */
bool refuse_user_io(struct engine *e)
{
    if (!e->v.guards_user || !in_user_code(e))
        return false;
    if (can_raise(e))
        probed.raise(e->state, VECTOR_GP, 0);
    return true;
}

static bool is_string_io(uint8_t opcode)
{
    return (opcode & 0xfc) == 0x6c;
}

static bool is_plain_io(uint8_t opcode)
{
    return (opcode & 0xf4) == 0xe4;
}

/* Is it an I/O instruction that wants a hook? With LOCK it is #UD. */
static bool wants_hook(struct engine *e, const uint8_t *code, uint32_t n, bool *is_locked)
{
    uint32_t at = 0;
    *is_locked = false;
    for (; at < n && is_prefix(code[at], in_64bit_code(e)); at++)
        *is_locked |= code[at] == 0xf0;
    return at < n && (is_string_io(code[at]) || (is_plain_io(code[at]) && !can_raise(e)));
}

/* Before the instruction at one of the addresses; the code there may be another now. */
static void on_user_io(uc_engine *uc, uint64_t address, uint32_t size, void *user)
{
    struct engine *e = user;
    uint8_t code[16];
    bool is_locked;
    if (e->stopping)
        return;
    clear_copy_of_flags(e);
    if (!in_user_code(e) || size > sizeof code || fetch(e, address, code, size) < size ||
        !wants_hook(e, code, size, &is_locked))
        return;
    raise_fault(e, is_locked ? VECTOR_UD : VECTOR_GP);
    state_store(e);
    if (!e->stopping) /* its handler has been entered: this block is left */
        unicorn.reg_write(uc, UC_X86_REG_RIP, &e->v.regs->rip);
}

static bool is_known(const struct engine *e, uint64_t address)
{
    for (uint32_t i = 0; i < e->n_user_ios; i++)
        if (e->user_ios[i] == address)
            return true;
    return false;
}

/* Could one begin here, prefixes apart? Most blocks have no such byte. */
static bool is_suspicious(struct engine *e, const uint8_t *code, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (is_string_io(code[i]) || (is_plain_io(code[i]) && !can_raise(e)))
            return true;
    return false;
}

/* Puts the hook into a block of user code. True: it is new there, so the block must be translated anew. */
bool hook_user_io(struct engine *e, uint64_t address, uint32_t size)
{
    uint8_t code[PAGE_BYTES];
    bool is_locked;
    uint32_t width = in_64bit_code(e) ? 2 : current_hflags(e) & HF_CS32 ? 1 : 0, n, at = 0;
    if (!e->v.guards_user || !in_user_code(e) || size > sizeof code || e->n_user_ios == N_USER_IOS)
        return false;
    n = fetch(e, address, code, size);
    if (!is_suspicious(e, code, n))
        return false;
    for (uint32_t length; at < n; at += length) {
        length = instruction_length(code + at, n - at, width);
        if (!length)
            return false;
        if (wants_hook(e, code + at, length, &is_locked))
            break;
    }
    if (at >= n || is_known(e, address + at))
        return false;
    uc_hook hook;
    e->user_ios[e->n_user_ios++] = address + at;
    unicorn.hook_add(e->uc, &hook, UC_HOOK_CODE, (void *)on_user_io, e, address + at, address + at);
    unicorn.ctl(e->uc, UC_CTL_WRITE(UC_CTL_TB_REMOVE_CACHE, 2), address, address + size);
    return true;
}
