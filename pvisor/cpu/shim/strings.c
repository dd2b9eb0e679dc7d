/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * REP MOVS and REP STOS, many rounds at once. The engine makes each round a block of its own, with the hook and a look
 * into its TLB for as little as a byte; and a kernel clears and copies its pages that way. So where such a block comes round
 * again, what lies in one page is done here, by the same rounds in the same order, and the block does what is left: the last
 * round, and whatever faults, is no RAM, is code, or is to be noticed by somebody.
 *
 * Each round counts as one instruction, as it does in the engine, so time and traces are the same. For a guest under shadow
 * tables: what they let it write to holds no code that has been translated, and its accessed and dirty bits are set.
 */
#include "shadow.h"
#include "api.h"

enum { REP = 0xf3, RIGHT_W = 2, RIGHT_U = 4, RFLAGS_DF = 1 << 10, FEWEST_ROUNDS = 8 };

struct string_operation {
    bool is_move;
    uint32_t n_bytes;          /* of an element */
};

/* In 64-bit code: REP, then REX or the prefix for 16 bits or nothing, then MOVS or STOS. */
static bool parse_string(const uint8_t *code, uint32_t size, struct string_operation *operation)
{
    if (size < 2 || size > 4)
        return false;
    uint8_t opcode = code[size - 1];
    bool has_rep = false, is_wide = false, is_short = false;
    for (uint32_t i = 0; i + 1 < size; i++) {
        if (code[i] == REP)
            has_rep = true;
        else if (code[i] == 0x66)
            is_short = true;
        else if ((code[i] & 0xf0) == 0x40 && i + 2 == size)
            is_wide = code[i] & 8;
        else
            return false;
    }
    if (!has_rep || ((opcode & 0xfe) != 0xa4 && (opcode & 0xfe) != 0xaa))
        return false;
    operation->is_move = (opcode & 0xfe) == 0xa4;
    operation->n_bytes = !(opcode & 1) ? 1 : is_wide ? 8 : is_short ? 2 : 4;
    return true;
}

/* Is the block such an instruction, and nothing else? */
bool is_string_block(struct engine *e, uint64_t address, uint32_t size)
{
    struct string_operation operation;
    const uint8_t *code = code_at(e, address);
    return e->shadow && code && in_64bit_code(e) && parse_string(code, size, &operation);
}

/* RAM behind an address to the end of its page, or NULL: with it, how many whole elements. */
static uint8_t *page_of(struct engine *e, uint64_t address, bool write, uint32_t n_bytes, uint64_t *n_elements)
{
    uint64_t physical, rights, needed = (write ? RIGHT_W : 0) | (in_user_code(e) ? RIGHT_U : 0);
    if (!walk(e, address, &physical, &rights) || (rights & needed) != needed || physical >= e->ram_bytes)
        return NULL;
    if (write && e->shadow->flags[physical / PAGE_BYTES] & FRAME_TRANSLATED)
        return NULL;
    *n_elements = (PAGE_BYTES - address % PAGE_BYTES) / n_bytes;
    return e->ram + physical;
}

#define ROUNDS(type)                                          \
    for (uint64_t i = 0; i < n; i++) {                        \
        type element = (type)value;                           \
        if (from)                                             \
            memcpy(&element, from + i * sizeof element, sizeof element); \
        memcpy(to + i * sizeof element, &element, sizeof element); \
    }

/* Element by element, upwards: the two may overlap, and then each round reads what an earlier one has written. */
static void do_rounds(uint8_t *to, const uint8_t *from, uint64_t value, uint32_t n_bytes, uint64_t n)
{
    switch (n_bytes) {
    case 1: ROUNDS(uint8_t) break;
    case 2: ROUNDS(uint16_t) break;
    case 4: ROUNDS(uint32_t) break;
    default: ROUNDS(uint64_t) break;
    }
}

/* Something wants to see each instruction, or one of them. */
static bool is_observed(struct engine *e)
{
    return e->v.debugging || e->v.watching || e->window_step || *state32(e, e->at.eflags) & RFLAGS_TF;
}

/*
 * The block at `address` is about to do a round. Does those before it that need nobody's notice, and says how many. Up to
 * `limit` instructions may retire.
 */
uint64_t run_string_ahead(struct engine *e, uint64_t address, uint32_t size, uint64_t limit)
{
    struct string_operation operation;
    uint64_t *gpr = e->v.regs->gpr, n, in_page, rflags;
    const uint8_t *code = code_at(e, address);
    if (gpr[RCX] < FEWEST_ROUNDS || limit <= e->v.insns + 1 || is_observed(e) || !code ||
        !parse_string(code, size, &operation))
        return 0;
    n = limit - e->v.insns - 1 < gpr[RCX] - 1 ? limit - e->v.insns - 1 : gpr[RCX] - 1;
    uint8_t *from = NULL, *to = page_of(e, gpr[RDI], true, operation.n_bytes, &in_page);
    if (!to)
        return 0;
    n = in_page < n ? in_page : n;
    if (operation.is_move) {
        if (!(from = page_of(e, gpr[RSI], false, operation.n_bytes, &in_page)))
            return 0;
        n = in_page < n ? in_page : n;
    }
    if (n < FEWEST_ROUNDS || read_register(e, UC_X86_REG_RFLAGS, &rflags) || rflags & RFLAGS_DF)
        return 0;
    do_rounds(to, from, gpr[RAX], operation.n_bytes, n);
    gpr[RCX] -= n;
    gpr[RDI] += n * operation.n_bytes;
    if (operation.is_move)
        gpr[RSI] += n * operation.n_bytes;
    state_store(e);
    return n;
}
