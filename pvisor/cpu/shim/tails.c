/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where in its block an instruction stands: how many come before it. */
#include "api.h"
#include "shim.h"

/* Does a key stand for these bytes only? Not where code changes with no word to the table of counts: it keeps no slot then. */
static bool block_is_kept(struct engine *e)
{
    const struct slot *slot = find_slot(e, e->block_address);
    return slot->key == e->block_key && (slot->extent.bytes & ~PAUSING) == e->block.bytes;
}

/*
 * Instructions of the current block before `rip`. The hook credits a whole block at its start, so whoever
 * leaves it early gives the rest back. The first time at a place the decoder counts; then a table knows.
 */
uint32_t insns_before(struct engine *e, uint64_t rip)
{
    if (rip == e->block_address)
        return 0;
    uint64_t key = e->block_key;
    struct tail *tail = &e->tails[(rip ^ (rip >> 11) ^ e->block_address) & (N_TAILS - 1)];
    bool kept = block_is_kept(e);
    if (likely(kept && tail->used && tail->key == key && tail->rip == rip))
        return tail->before;
    uint8_t code[8192];
    uint64_t n = rip - e->block_address;
    if (n > e->block.bytes)
        return e->block.insns; /* past the block: INT n has moved RIP on */
    uint32_t got = fetch(e, e->block_address, code, n < sizeof code ? (uint32_t)n : (uint32_t)sizeof code);
    int before = count_instructions(code, got, in_64bit_code(e) ? 2 : current_hflags(e) & HF_CS32 ? 1 : 0);
    if (before < 0 || (uint32_t)before > e->block.insns)
        before = (int)e->block.insns;
    if (kept)
        *tail = (struct tail){key, rip, (uint32_t)before, 1};
    return (uint32_t)before;
}
