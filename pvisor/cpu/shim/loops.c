/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LOOPE and LOOPNE, whose status flags Unicorn loses (2.1.4, translate.c): when the count ends the loop, it has not
 * written down how the flags of the instructions before, in the same block, are to be computed. So each such place
 * gets a code hook, which does that last round itself. They end their blocks, which makes them easy to find.
 */
#include "shim.h"

/* CF PF AF ZF SF DF OF: in the field for RFLAGS they are set only while the engine does not run. */
enum { STATUS_FLAGS = 0xcd5, ADDRESS_SIZE = 0x67 };

/* For a code hook the engine puts the status flags there, and leaves them: what runs next would have them, too. */
void clear_copy_of_flags(struct engine *e)
{
    state_load(e);
    *state32(e, e->at.eflags) &= ~(uint32_t)STATUS_FLAGS;
    state_store(e);
}

/* As the engine does it behind an instruction. */
static void end_shadow(struct engine *e)
{
    state_load(e);
    *state32(e, e->at.hflags) &= ~(uint32_t)HF_INHIBIT_IRQ;
    state_store(e);
}

/* The bits of RCX that count (SDM 2A, LOOP): by the address size. */
static uint64_t counter_mask(struct engine *e, bool has_67)
{
    if (in_64bit_code(e))
        return has_67 ? UINT32_MAX : UINT64_MAX;
    return !(current_hflags(e) & HF_CS32) == has_67 ? UINT32_MAX : UINT16_MAX;
}

/* Is the instruction LOOPE or LOOPNE? The same byte may stand in an operand of another (SHL EAX, n). */
static bool is_loop(struct engine *e, const uint8_t *code, uint32_t size)
{
    if (size < 2 || (code[size - 2] & 0xfe) != 0xe0)
        return false;
    for (uint32_t i = 0; i < size - 2; i++)
        if (!is_prefix(code[i], in_64bit_code(e)))
            return false;
    return true;
}

static void on_loop(uc_engine *uc, uint64_t address, uint32_t size, void *user)
{
    struct engine *e = user;
    uint8_t code[16];
    clear_copy_of_flags(e);
    if (e->stopping || size > sizeof code || fetch(e, address, code, size) < size ||
        !is_loop(e, code, size))
        return; /* other code by now */
    if (*state32(e, e->at.eflags) & RFLAGS_TF)
        return; /* it is alone in its block, and the engine sees to the #DB */
    uint64_t mask = counter_mask(e, memchr(code, ADDRESS_SIZE, size - 2)), rcx, rip;
    unicorn.reg_read(uc, UC_X86_REG_RCX, &rcx);
    unicorn.reg_read(uc, UC_X86_REG_RIP, &rip);
    if ((rcx & mask) != 1)
        return;
    end_shadow(e);
    rcx = mask == UINT16_MAX ? rcx - 1 : 0;
    rip += size;
    unicorn.reg_write(uc, UC_X86_REG_RCX, &rcx);
    unicorn.reg_write(uc, UC_X86_REG_RIP, &rip); /* the block is left; all of it has been counted */
}

/* The last instruction of a block: where it begins, and 0 where the block cannot be decoded. */
static uint32_t find_last(struct engine *e, const uint8_t *code, uint32_t size)
{
    uint32_t width = in_64bit_code(e) ? 2 : current_hflags(e) & HF_CS32 ? 1 : 0, last = 0;
    for (uint32_t at = 0, length; at < size; at += length) {
        length = instruction_length(code + at, size - at, width);
        if (!length)
            return 0;
        last = at;
    }
    return last;
}

/*
 * Puts the hook into a block that ends with one. True: it is new there, so the block must be translated anew. The
 * table is bounded; what a guest has beyond it, it has as the engine runs it.
 */
bool hook_loop(struct engine *e, uint64_t address, uint32_t size)
{
    uint8_t code[PAGE_BYTES];
    if (size <= 2 || size > sizeof code || e->n_loops == N_LOOPS)
        return false; /* alone in its block, it has no flags to lose */
    if (fetch(e, address + size - 2, code, 2) < 2 || (code[0] & 0xfe) != 0xe0)
        return false; /* most blocks */
    if (fetch(e, address, code, size) < size)
        return false;
    uint32_t last = find_last(e, code, size); /* what ends it may have such bytes in its operand */
    uint64_t at = address + last;
    if (!last || !is_loop(e, code + last, size - last))
        return false;
    for (uint32_t i = 0; i < e->n_loops; i++)
        if (e->loops[i] == at)
            return false;
    uc_hook hook;
    e->loops[e->n_loops++] = at;
    unicorn.hook_add(e->uc, &hook, UC_HOOK_CODE, (void *)on_loop, e, at, at);
    unicorn.ctl(e->uc, UC_CTL_WRITE(UC_CTL_TB_REMOVE_CACHE, 2), address, address + size);
    return true;
}
