/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of an address space is stale: the guest has written to the tables that map it, and its CPU may go on with what they
 * said before, until CR3 is loaded. Then that part of the shadow goes, and no more of it.
 */
#include "shadow.h"

/* Empties all last-level tables below one. `shift`: of the addresses that one of its entries maps. True: there was code. */
static bool empty_tables(struct engine *e, uint64_t table, uint32_t shift)
{
    uint64_t *entries = entries_of(e, table);
    bool code = false;
    for (int i = 0; i < 512; i++) {
        if (!(entries[i] & ENTRY_P))
            continue;
        if (shift > 12)
            code |= empty_tables(e, entries[i] & ENTRY_FRAME, shift - 9);
        else
            code |= !(entries[i] & ENTRY_NX);
    }
    if (shift == 12)
        memset(entries, 0, PAGE_BYTES);
    return code;
}

/* All pages of a span, whose shadow has one table at its top. */
static void drop_span(struct engine *e, struct root *root, uint64_t span)
{
    uint64_t n_bits = span & 63, first = span & ~63ull, last = first | ((1ull << n_bits) - 1), table = root->table;
    for (uint32_t shift = 39; shift >= n_bits; shift -= 9) {
        uint64_t entry = entries_of(e, table)[(first >> shift) & 511];
        if (!(entry & ENTRY_P))
            return;
        table = entry & ENTRY_FRAME;
    }
    if (empty_tables(e, table, (uint32_t)n_bits - 9))
        root->generation = 0;
    drop_mixed_of_span(e, (uint32_t)(root - e->shadow->roots), first, last);
}

/* --- the top table, which maps all: a change of one of its entries, and no other, voids what hangs on that */

static const uint64_t *top_of(struct engine *e, const struct root *root)
{
    return (const uint64_t *)(e->ram + root->top_frame * PAGE_BYTES);
}

/* The accessed bit is no change. */
static bool is_changed(uint64_t before, uint64_t now)
{
    return ((before ^ now) & ~(uint64_t)ENTRY_A) != 0;
}

/* From now on a store into the top table is seen, and this is what it held. */
static void remember_top(struct engine *e, struct root *root, uint32_t frame)
{
    root->top_frame = frame;
    root->has_top = true;
    root->top_is_stale = false;
    memcpy(root->top, e->ram + frame * PAGE_BYTES, PAGE_BYTES);
    memset(root->is_lost, 0, sizeof root->is_lost);
    protect_table(e, frame, SPAN_TOP);
}

/* What was mapped through an entry that was there goes if it has changed, or was another meanwhile. */
static void drop_changed(struct engine *e, struct root *root)
{
    const uint64_t *now = top_of(e, root);
    for (uint64_t i = 0; i < 512; i++) {
        bool was_there = root->top[i] & ENTRY_P;
        if (root->is_lost[i] || (was_there && is_changed(root->top[i], now[i])))
            drop_span(e, root, span((uint64_t)((int64_t)(i << 55) >> 16), 39));
    }
    remember_top(e, root, root->top_frame);
}

/* A page is filled while the top table is left alone. */
static void note_fill(struct engine *e, struct root *root, uint64_t gva)
{
    uint32_t i = gva >> 39 & 511;
    root->is_lost[i] |= is_changed(root->top[i], top_of(e, root)[i]);
}

/* --- */

bool is_stale_root(const struct root *root)
{
    return root->stale || root->top_is_stale || root->n_stale_spans;
}

/* What the guest has changed goes, as at a load of CR3. True: something did. */
bool drop_stale(struct engine *e, struct root *root)
{
    bool is_current = root == &e->shadow->roots[e->shadow->current];
    if (!is_stale_root(root))
        return false;
    if (root->stale || root->has_gib_pages || (root->top_is_stale && !is_current)) {
        shadow_drop_root(e, root);
        return true;
    }
    for (uint32_t i = 0; i < root->n_stale_spans; i++)
        drop_span(e, root, root->stale_spans[i]);
    root->n_stale_spans = 0;
    if (root->top_is_stale)
        drop_changed(e, root);
    return true;
}

static bool is_stale(const struct root *root, uint64_t span)
{
    for (uint32_t i = 0; i < root->n_stale_spans; i++)
        if (root->stale_spans[i] == span)
            return true;
    return root->stale;
}

/* The top table of 64-bit mode leads to a page that is being filled. */
static void protect_top(struct engine *e, struct root *root, uint64_t gva, uint32_t frame)
{
    if (root->stale)
        return;
    if (root->top_is_stale)
        note_fill(e, root, gva);
    else if (!root->has_top || !(e->shadow->table_of[frame] >> e->shadow->current & 1))
        remember_top(e, root, frame);
}

/*
 * The tables of the guest's that lead to a page, from the root's own on, are to be left alone from now on. Only in 64-bit
 * mode, where their number tells it, is known what each maps.
 */
void protect_tables(struct engine *e, struct root *root, uint64_t gva, uint32_t page_shift, const uint64_t *tables,
                    uint32_t n_tables)
{
    struct shadow *s = e->shadow;
    bool is_long = n_tables == (48 - page_shift) / 9;
    for (uint32_t i = 0; i < n_tables; i++) {
        uint32_t n_bits = 48 - 9 * i, frame = (uint32_t)(tables[i] / PAGE_BYTES);
        uint64_t maps = is_long ? span(gva, n_bits) : SPAN_EVERYTHING;
        if (tables[i] / PAGE_BYTES >= s->n_frames)
            continue;
        if (is_long && i == 0)
            protect_top(e, root, gva, frame);
        else if (!is_stale(root, maps))
            protect_table(e, frame, maps);
    }
}
