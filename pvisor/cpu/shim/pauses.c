/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PAUSE takes longer than other instructions: 140 cycles on Intel's CPUs since Skylake, which is some 40 ns (Intel 64
 * and IA-32 Architectures Optimization Reference Manual, "Pause Latency in Skylake Client Microarchitecture"). A kernel
 * that waits for a time in a loop of RDTSC and PAUSE makes as many rounds as there, not one every ten nanoseconds.
 *
 * PAUSE ends its block. The block is credited with all its time when it begins, as with its instructions; who leaves it
 * early gives that back, too.
 */
#include "api.h"
#include "shim.h"

enum { NOP = 0x90, REP = 0xf3, REX_B = 1 };

/* F3 90, with any other prefixes; with REX.B it is XCHG of R8 and the accumulator (SDM 2B, PAUSE and XCHG). */
static bool is_pause(const uint8_t *insn, uint32_t n_bytes, bool mode64)
{
    bool has_rep = false;
    uint8_t last = 0;
    for (uint32_t i = 0; i + 1 < n_bytes; i++) {
        last = insn[i];
        has_rep |= last == REP;
        if (!is_prefix(last, mode64))
            return false;
    }
    return has_rep && insn[n_bytes - 1] == NOP && !(mode64 && (last & 0xf0) == 0x40 && last & REX_B);
}

/* Of a block whose last byte is that of one. */
static __attribute__((noinline)) bool ends_in_pause(struct engine *e, uint64_t address, uint32_t size)
{
    uint8_t code[PAGE_BYTES + 32] = {0};
    if (size < 2 || size > PAGE_BYTES || fetch(e, address, code, size) < size)
        return false;
    uint32_t width = in_64bit_code(e) ? 2 : current_hflags(e) & HF_CS32 ? 1 : 0;
    for (uint32_t at = 0, n; at < size; at += n) {
        n = instruction_length(code + at, size - at, width); /* 0: capstone does not know it with an operand-size prefix */
        if (!n || at + n == size)
            return is_pause(code + at, size - at, width == 2);
    }
    return false;
}

/* A block that has just been counted. True: it ends in PAUSE. The table says so, if it keeps the block. */
bool learn_pause(struct engine *e, uint64_t address, uint32_t size)
{
    uint8_t last = 0;
    fetch(e, address + size - 1, &last, 1);
    if (likely(last != NOP) || !ends_in_pause(e, address, size))
        return false;
    struct slot *slot = find_slot(e, address);
    if (slot->key == e->block_key && slot->extent.bytes == size)
        slot->extent.bytes = size | PAUSING;
    return true;
}

/* The block that has begun ends in PAUSE. */
void credit_pause(struct engine *e)
{
    e->v.idle_ns += PAUSE_NS;
    e->paused_at = e->v.insns;
    refresh_limit(e);
}
