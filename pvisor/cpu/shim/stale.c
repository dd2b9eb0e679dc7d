/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of an address space is stale: the guest has written to the tables that map it, and its CPU may go on with what they
 * said before, until CR3 is loaded. Then that part of the shadow goes, and no more of it.
 */
#include "shadow.h"

/* True: some of it was executable. */
static bool empty_table(struct engine *e, uint64_t table)
{
    uint64_t *entries = entries_of(e, table);
    bool code = false;
    for (int i = 0; i < 512; i++)
        code |= (entries[i] & (ENTRY_P | ENTRY_NX)) == ENTRY_P;
    memset(entries, 0, PAGE_BYTES);
    return code;
}

/* The pages of a span that one last-level table maps, or all those below one entry of the root's third level. */
static void drop_span(struct engine *e, struct root *root, uint64_t span)
{
    uint64_t n_bits = span & 63, first = span & ~63ull, last = first | ((1ull << n_bits) - 1), table = root->table;
    bool code = false;
    for (uint32_t shift = 39; shift >= n_bits; shift -= 9) {
        uint64_t entry = entries_of(e, table)[(first >> shift) & 511];
        if (!(entry & ENTRY_P))
            return;
        table = entry & ENTRY_FRAME;
    }
    if (n_bits == 21) {
        code = empty_table(e, table);
    } else {
        const uint64_t *entries = entries_of(e, table);
        for (int i = 0; i < 512; i++)
            if (entries[i] & ENTRY_P)
                code |= empty_table(e, entries[i] & ENTRY_FRAME);
    }
    if (code)
        root->generation = 0;
    drop_mixed_of_span(e, (uint32_t)(root - e->shadow->roots), first, last);
}

/* CR3 is loaded: what the guest has changed meanwhile goes. True: something did. */
bool drop_stale(struct engine *e, struct root *root)
{
    if (!root->stale && !root->n_stale_spans)
        return false;
    if (root->stale || root->has_gib_pages) {
        shadow_drop_root(e, root);
        return true;
    }
    for (uint32_t i = 0; i < root->n_stale_spans; i++)
        drop_span(e, root, root->stale_spans[i]);
    root->n_stale_spans = 0;
    return true;
}

static bool is_stale(const struct root *root, uint64_t span)
{
    for (uint32_t i = 0; i < root->n_stale_spans; i++)
        if (root->stale_spans[i] == span)
            return true;
    return root->stale;
}

/*
 * The tables of the guest's that lead to a page, from the root's own on, are to be left alone from now on. Only in 64-bit
 * mode, where their number tells it, is known what each maps; and what more than 2^30 bytes hang on is not looked for.
 */
void protect_tables(struct engine *e, const struct root *root, uint64_t gva, uint32_t page_shift, const uint64_t *tables,
                    uint32_t n_tables)
{
    struct shadow *s = e->shadow;
    bool is_long = n_tables == (48 - page_shift) / 9;
    for (uint32_t i = 0; i < n_tables; i++) {
        uint32_t n_bits = 48 - 9 * i, frame = (uint32_t)(tables[i] / PAGE_BYTES);
        uint64_t maps = is_long && n_bits <= 30 ? span(gva, n_bits) : SPAN_EVERYTHING;
        if (tables[i] / PAGE_BYTES < s->n_frames && !is_stale(root, maps))
            protect_table(e, frame, maps);
    }
}
