/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shadow tables: one root for each of the guest's address spaces, made of the hypervisor's frames.
 *
 * An entry lives until the guest's own CPU may have forgotten it: INVLPG drops a page; a load of CR3 drops what
 * the tables map to which the guest wrote meanwhile. To know that, the guest tables that a shadow was made from are
 * write-protected until the first store into one; then the part of the address space that it maps is stale, and the
 * table is left alone until CR3 is loaded. So a switch between unchanged address spaces keeps both.
 */
#include "shadow.h"
#include "api.h"

#include <stdlib.h>

static uint64_t table_address(uint32_t index)
{
    return HV_BASE + index * PAGE_BYTES;
}

static uint32_t table_index(uint64_t physical)
{
    return (uint32_t)((physical - HV_BASE) / PAGE_BYTES);
}

static uint64_t new_table(struct engine *e)
{
    struct shadow *s = e->shadow;
    uint32_t index = s->free_table;
    if (index)
        s->free_table = s->next_table[index];
    else if (s->n_tables_used < s->n_tables)
        index = s->first_table + s->n_tables_used++;
    else
        return 0;
    s->large[index] = 0;
    memset(entries_of(e, table_address(index)), 0, PAGE_BYTES);
    return table_address(index);
}

int pv_shadow_open(pv_vcpu *v, uint32_t first_table, uint32_t n_tables)
{
    struct engine *e = (struct engine *)v;
    struct shadow *s = e->shadow = calloc(1, sizeof *s);
    if (!s)
        return -1;
    s->first_table = first_table;
    s->n_tables = n_tables;
    s->n_frames = (uint32_t)(e->ram_bytes / PAGE_BYTES);
    s->n_aliases = s->n_frames * 2 + 65536;
    s->n_aliases_used = 1; /* 0 ends a list */
    uint32_t n_hv = (uint32_t)(e->hv_bytes / PAGE_BYTES);
    s->next_table = calloc(n_hv, sizeof *s->next_table);
    s->large = calloc(n_hv, 1);
    s->flags = calloc(s->n_frames, 1);
    s->n_flips = calloc(s->n_frames, 1);
    s->first_alias = calloc(s->n_frames, sizeof *s->first_alias);
    s->table_of = calloc(s->n_frames, sizeof *s->table_of);
    s->span_of = calloc(s->n_frames, sizeof *s->span_of);
    s->originals = calloc(s->n_frames, sizeof *s->originals);
    s->aliases = calloc(s->n_aliases, sizeof *s->aliases);
    if (!s->next_table || !s->large || !s->flags || !s->n_flips || !s->first_alias || !s->table_of || !s->span_of ||
        !s->originals || !s->aliases || !open_known(s) || !open_kept(s))
        return -1;
    for (uint32_t i = 0; i < N_ROOTS; i++)
        s->roots[i].table = new_table(e);
    /* A root of its own, whose one page leads to the frame that shall be forgotten. */
    uint64_t table = s->forget_root = new_table(e);
    for (int level = 0; level < 3; level++) {
        uint64_t below = new_table(e);
        entries_of(e, table)[0] = below | ENTRY_P | ENTRY_U | ENTRY_AD;
        table = below;
    }
    s->forget_entry = table;
    return 0;
}

void close_shadow(struct engine *e)
{
    struct shadow *s = e->shadow;
    if (!s)
        return;
    for (uint32_t i = 0; s->originals && i < s->n_frames; i++)
        free(s->originals[i]);
    free(s->next_table);
    free(s->large);
    free(s->flags);
    free(s->n_flips);
    free(s->first_alias);
    free(s->table_of);
    free(s->span_of);
    free(s->originals);
    free(s->patterns);
    free(s->aliases);
    close_known(s);
    close_kept(s);
    free(s);
    e->shadow = NULL;
}

/* The entry of a page, or NULL where there is no table for it. */
uint64_t *shadow_entry(struct engine *e, const struct root *root, uint64_t gva)
{
    uint64_t table = root->table;
    for (int shift = 39; shift > 12; shift -= 9) {
        uint64_t entry = entries_of(e, table)[(gva >> shift) & 511];
        if (!(entry & ENTRY_P))
            return NULL;
        table = entry & ENTRY_FRAME;
    }
    return &entries_of(e, table)[(gva >> 12) & 511];
}

/* The same, with the tables made that it lacks. NULL: there is no frame left for them. */
static uint64_t *entry_with_tables(struct engine *e, struct root *root, uint64_t gva)
{
    struct shadow *s = e->shadow;
    uint64_t table = root->table;
    for (int shift = 39; shift > 12; shift -= 9) {
        uint64_t *entry = &entries_of(e, table)[(gva >> shift) & 511];
        if (!(*entry & ENTRY_P)) {
            uint64_t below = new_table(e);
            if (!below)
                return NULL;
            s->next_table[table_index(below)] = root->tables;
            root->tables = table_index(below);
            *entry = below | ENTRY_P | ENTRY_W | ENTRY_U | ENTRY_AD;
        }
        table = *entry & ENTRY_FRAME;
    }
    return &entries_of(e, table)[(gva >> 12) & 511];
}

void shadow_drop_root(struct engine *e, struct root *root)
{
    struct shadow *s = e->shadow;
    memset(entries_of(e, root->table), 0, PAGE_BYTES);
    while (root->tables) {
        uint32_t index = root->tables;
        root->tables = s->next_table[index];
        s->next_table[index] = s->free_table;
        s->free_table = index;
    }
    root->stale = root->has_top = root->top_is_stale = root->has_gib_pages = false;
    root->n_stale_spans = 0;
    root->generation = 0;
    drop_mixed_of_root(e, (uint32_t)(root - s->roots));
}

/* Every address space, and with them all that was known of aliases. */
void shadow_drop_all(struct engine *e)
{
    struct shadow *s = e->shadow;
    for (uint32_t i = 0; i < N_ROOTS; i++) {
        shadow_drop_root(e, &s->roots[i]);
        if (i != s->current)
            s->roots[i].key = 0;
    }
    memset(s->first_alias, 0, s->n_frames * sizeof *s->first_alias);
    memset(s->table_of, 0, s->n_frames * sizeof *s->table_of);
    s->n_aliases_used = 1;
    s->free_alias = 0;
    for (uint32_t i = 0; i < s->n_frames; i++)
        s->flags[i] &= (uint8_t)~FRAME_WRITABLE;
    shadow_load_root(e);
}

/* Puts the current root into CR3, and gives its code counts an epoch that is still theirs. */
void shadow_load_root(struct engine *e)
{
    struct root *root = &e->shadow->roots[e->shadow->current];
    if (root->generation != e->generation) {
        take_epoch(e);
        root->epoch = e->epoch;
        root->generation = e->generation;
    } else {
        e->epoch = root->epoch;
    }
    e->slot_salt = (uint64_t)(root - e->shadow->roots) * 0x1235;
    e->v.cr3 = root->table;
    write_register(e, UC_X86_REG_CR3, &root->table);
}

static struct root *root_for(struct engine *e, uint64_t key)
{
    struct shadow *s = e->shadow;
    struct root *oldest = &s->roots[0];
    for (struct root *root = s->roots; root < s->roots + N_ROOTS; root++) {
        if (root->key == key)
            return root;
        if (root->last_used < oldest->last_used)
            oldest = root;
    }
    shadow_drop_root(e, oldest);
    oldest->key = key;
    return oldest;
}

void pv_shadow_switch(pv_vcpu *v, uint64_t key, bool keeps)
{
    struct engine *e = (struct engine *)v;
    struct shadow *s = e->shadow;
    struct root *root = root_for(e, key);
    bool same = root == &s->roots[s->current] && v->cr3 == root->table;
    s->n_switches += root != &s->roots[s->current];
    s->n_stale += is_stale_root(root);
    root->last_used = ++s->clock;
    s->current = (uint32_t)(root - s->roots);
    if ((!keeps && drop_stale(e, root)) || !same)
        shadow_load_root(e);
}

uint64_t pv_shadow_switches(pv_vcpu *v, uint64_t *n_stale)
{
    const struct shadow *s = ((struct engine *)v)->shadow;
    *n_stale = s ? s->n_stale : 0;
    return s ? s->n_switches : 0;
}

void pv_shadow_flush(pv_vcpu *v, uint64_t key_mask, uint64_t key)
{
    struct engine *e = (struct engine *)v;
    struct root *root = e->shadow->roots;
    for (uint32_t i = 0; i < N_ROOTS; i++, root++)
        if ((root->key & key_mask) == key && drop_stale(e, root) && i == e->shadow->current)
            shadow_load_root(e);
}

void pv_shadow_drop_all(pv_vcpu *v)
{
    shadow_drop_all((struct engine *)v);
}

void pv_shadow_fill(pv_vcpu *v, uint64_t gva, uint64_t gpa, uint32_t what, uint64_t rip, const uint64_t *tables,
                    uint32_t n_tables)
{
    struct engine *e = (struct engine *)v;
    struct shadow *s = e->shadow;
    struct root *root = &s->roots[s->current];
    uint32_t frame = (uint32_t)(gpa / PAGE_BYTES);
    uint64_t *entry = entry_with_tables(e, root, gva);
    if (unlikely(!entry)) {
        shadow_drop_all(e);
        entry = entry_with_tables(e, root, gva);
    }
    protect_tables(e, root, gva, what & PV_FILL_LARGE ? what >> PV_FILL_SHIFT : 12, tables, n_tables);
    if (what & PV_FILL_FETCH)
        make_executable(e, frame, gva);
    else if (what & PV_FILL_WRITE)
        make_writable(e, frame, gva, rip, what & PV_FILL_NO_EXECUTE);

    bool mixed = s->n_mixed && is_mixed_as(e, gva, frame);
    bool executable = mixed || (is_code_everywhere(e, frame) && !(what & PV_FILL_NO_EXECUTE));
    bool writable = (what & PV_FILL_WRITABLE) && (mixed || !(s->flags[frame] & FRAME_TRANSLATED)) && !s->table_of[frame];
    uint64_t was = *entry;
    *entry = frame * PAGE_BYTES | ENTRY_P | ENTRY_AD | (what & PV_FILL_USER ? ENTRY_U : 0) | (executable ? 0 : ENTRY_NX) |
             (writable ? ENTRY_W : 0);
    if (writable)
        s->flags[frame] |= FRAME_WRITABLE;
    if (unlikely(what & PV_FILL_LARGE)) {
        uint8_t *large = &s->large[table_index(HV_BASE + (uint64_t)((uint8_t *)entry - e->hv))];
        uint8_t shift = (uint8_t)(what >> PV_FILL_SHIFT);
        *large = shift > *large ? shift : *large;
        root->has_gib_pages |= shift == 30;
    }
    /* More rights need no flush: the engine looks at the tables again when its own entry does not do. */
    bool lost = (was & ENTRY_P) && ((was ^ *entry) & ENTRY_FRAME || (was & ~*entry & (ENTRY_W | ENTRY_U)) ||
                                    (~was & *entry & ENTRY_NX));
    if (lost)
        flush_page(e, gva);
    /* Also where only execution is lost: when other code comes there, the entry tells no more that there was some. */
    if ((was & ENTRY_P) && !(was & ENTRY_NX) && ((was ^ *entry) & (ENTRY_FRAME | ENTRY_NX)))
        new_epoch(e);
    bool known = (was & ENTRY_P) && !((was ^ *entry) & ENTRY_FRAME);
    if (unlikely(!known && !remember_alias(e, frame, gva)))
        shadow_drop_all(e); /* the list is full; the guest faults again, and finds room */
}

/* All pages of one last-level table. */
static void drop_table(struct engine *e, const struct root *root, uint64_t gva)
{
    uint64_t *entry = shadow_entry(e, root, gva & ~0x1fffffull);
    if (entry)
        memset(entry, 0, PAGE_BYTES);
}

/* The page in one address space, or every page of the large one that was splintered there. */
static void drop_page(struct engine *e, struct root *root, uint64_t gva)
{
    struct shadow *s = e->shadow;
    bool is_current = root == &s->roots[s->current]; /* a change of roots empties the TLB */
    uint64_t *entry = shadow_entry(e, root, gva);
    uint8_t large = 0;
    for (uint64_t at = gva & ~0x3fffffull; at <= (gva | 0x3fffff) && at >= (gva & ~0x3fffffull); at += 0x200000) {
        uint64_t *first = shadow_entry(e, root, at); /* 4 MiB pages lie in two tables */
        uint8_t shift = first ? s->large[table_index(HV_BASE + (uint64_t)((uint8_t *)first - e->hv))] : 0;
        if (shift == 22 || (shift == 21 && at == (gva & ~0x1fffffull)))
            large = shift > large ? shift : large;
    }
    if (root->has_gib_pages) {
        shadow_drop_root(e, root);
        if (is_current)
            shadow_load_root(e);
        return;
    }
    if (!large && (!entry || !(*entry & ENTRY_P)))
        return;
    bool code = large || !(*entry & ENTRY_NX);
    if (large == 22)
        drop_table(e, root, gva ^ 0x200000);
    if (large) {
        drop_table(e, root, gva);
        if (is_current)
            pv_flush_tlb(&e->v);
    } else {
        *entry = 0;
        if (is_current)
            flush_page(e, gva);
    }
    if (code)
        new_epoch(e);
}

/* INVLPG. With PCIDs it concerns global pages of all address spaces (SDM 3A 4.10.4.1): more may always be dropped. */
void pv_shadow_drop(pv_vcpu *v, uint64_t gva, bool everywhere)
{
    struct engine *e = (struct engine *)v;
    struct shadow *s = e->shadow;
    for (uint32_t i = 0; i < N_ROOTS; i++)
        if (i == s->current || (everywhere && s->roots[i].key))
            drop_page(e, &s->roots[i], gva);
}
