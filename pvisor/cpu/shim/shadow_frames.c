/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known of each guest frame.
 *
 * W^X: a frame is mapped writable or executable over all its aliases, never both. Stores stay fast in the
 * engine that way, and a store into code is a fault, at which the frame's translations are forgotten and its
 * patches undone. Only an instruction that stores into the frame it lies in, and a frame that keeps changing
 * sides, get both at once: the frame is mixed then, under the addresses in shadow.mixed. Under each of them it is
 * executable, too, because the engine looks at stores into executable pages only.
 */
#include "shadow.h"
#include "api.h"

#include <stdlib.h>

#define ROOT_BITS 0xfffull
#define MAX_FLIPS 40

/* --- aliases */

/* The last few are looked at, so that a page that comes and goes does not fill the list. */
bool remember_alias(struct engine *e, uint32_t frame, uint64_t gva)
{
    struct shadow *s = e->shadow;
    uint64_t page = (gva & ~ROOT_BITS) | s->current;
    uint32_t n_seen = 0;
    for (uint32_t i = s->first_alias[frame]; i && n_seen < 4; i = s->aliases[i].next, n_seen++)
        if (s->aliases[i].page == page)
            return true;
    uint32_t made = s->free_alias;
    if (made)
        s->free_alias = s->aliases[made].next;
    else if (s->n_aliases_used < s->n_aliases)
        made = s->n_aliases_used++;
    else
        return false;
    s->aliases[made] = (struct alias){page, s->first_alias[frame]};
    s->first_alias[frame] = made;
    return true;
}

/* Changes every entry that maps the frame; aliases that are none any more are forgotten. */
void change_aliases(struct engine *e, uint32_t frame, uint64_t clear, uint64_t set)
{
    struct shadow *s = e->shadow;
    uint32_t *link = &s->first_alias[frame];
    while (*link) {
        struct alias *alias = &s->aliases[*link];
        const struct root *root = &s->roots[alias->page & ROOT_BITS];
        uint64_t *entry = shadow_entry(e, root, alias->page & ~ROOT_BITS);
        if (entry && (*entry & ENTRY_P) && (*entry & ENTRY_FRAME) / PAGE_BYTES == frame) {
            *entry = (*entry & ~clear) | set;
            if ((alias->page & ROOT_BITS) == s->current) /* a change of roots empties the TLB */
                flush_page(e, alias->page & ~ROOT_BITS);
            link = &alias->next;
        } else {
            uint32_t gone = *link;
            *link = alias->next;
            alias->next = s->free_alias;
            s->free_alias = gone;
        }
    }
}

/* --- W^X */

/* The entry goes, too: it is executable even where the guest says no-execute. */
static void drop_mixed(struct engine *e, uint32_t i)
{
    struct shadow *s = e->shadow;
    const struct mixed *mixed = &s->mixed[i];
    uint64_t *entry = shadow_entry(e, &s->roots[mixed->root], mixed->page);
    if (entry && (*entry & ENTRY_P) && (*entry & ENTRY_FRAME) / PAGE_BYTES == mixed->frame) {
        *entry = 0;
        if (mixed->root == s->current)
            flush_page(e, mixed->page);
    }
    drop_overwritten_patches(e, mixed->frame);
    s->versions[mixed->frame]++;
    s->mixed[i] = s->mixed[--s->n_mixed];
}

/* Under which address, if any, is the frame mixed? */
bool is_mixed_frame(const struct shadow *s, uint32_t frame)
{
    for (uint32_t i = 0; i < s->n_mixed; i++)
        if (s->mixed[i].frame == frame)
            return true;
    return false;
}

static void drop_mixed_of_frame(struct engine *e, uint32_t frame)
{
    for (uint32_t i = e->shadow->n_mixed; i-- > 0;)
        if (e->shadow->mixed[i].frame == frame)
            drop_mixed(e, i);
}

/* Its code is counted anew only where it is mixed: elsewhere, a store would leave old counts and patches. */
static bool unmix(struct engine *e, uint32_t frame, uint64_t gva)
{
    struct shadow *s = e->shadow;
    if (!is_mixed_frame(s, frame) || is_mixed_as(e, gva, frame))
        return false;
    drop_mixed_of_frame(e, frame);
    return true;
}

void make_executable(struct engine *e, uint32_t frame, uint64_t gva)
{
    struct shadow *s = e->shadow;
    if ((s->flags[frame] & FRAME_EXECUTABLE) && !(s->n_mixed && unmix(e, frame, gva)))
        return;
    if (s->flags[frame] & FRAME_KEPT)
        compare_kept_code(e, frame);
    s->flags[frame] |= FRAME_EXECUTABLE | FRAME_TRANSLATED;
    s->uses_shown |= (s->flags[frame] & FRAME_SHOWN) != 0;
    if (s->flags[frame] & FRAME_WRITABLE) {
        s->flags[frame] &= (uint8_t)~FRAME_WRITABLE;
        if (s->n_flips[frame] < MAX_FLIPS)
            s->n_flips[frame]++;
        change_aliases(e, frame, ENTRY_W, 0);
    }
}

/* The frame in which a linear address lies, by the tables in use. */
static uint32_t frame_of(struct engine *e, uint64_t linear)
{
    uint64_t physical, rights;
    if (!walk(e, linear, &physical, &rights) || physical >= e->ram_bytes)
        return NO_FRAME;
    return (uint32_t)(physical / PAGE_BYTES);
}

/* A part of an address space is stale, until CR3 is loaded. */
static void make_stale(struct root *root, uint64_t span)
{
    if (span == SPAN_TOP && root->has_top)
        root->top_is_stale = true;
    else if (span == SPAN_EVERYTHING || span == SPAN_TOP || root->n_stale_spans == N_STALE_SPANS)
        root->stale = true;
    else
        root->stale_spans[root->n_stale_spans++] = span;
}

/* Where the frame is a guest table: each address space made from it is stale, as far as the table maps it. */
static void guest_table_changes(struct shadow *s, uint32_t frame)
{
    for (uint32_t i = 0; s->table_of[frame] >> i; i++)
        if (s->table_of[frame] >> i & 1)
            make_stale(&s->roots[i], s->span_of[frame]);
    s->table_of[frame] = 0;
}

/* The frame is code again, and no more. It may change sides for a while before it is mixed again. */
void unmix_frame(struct engine *e, uint32_t frame)
{
    struct shadow *s = e->shadow;
    drop_mixed_of_frame(e, frame);
    s->flags[frame] &= (uint8_t)~FRAME_WRITABLE;
    s->n_flips[frame] = MAX_FLIPS / 2;
    change_aliases(e, frame, ENTRY_W, 0);
}

/* The list is full: another frame is no more in it. */
static void make_room_to_mix(struct engine *e, uint32_t frame)
{
    const struct shadow *s = e->shadow;
    uint32_t i = 0;
    while (s->mixed[i].frame == frame)
        i++;
    unmix_frame(e, s->mixed[i].frame);
}

static void mix(struct engine *e, uint32_t frame, uint64_t gva)
{
    struct shadow *s = e->shadow;
    if (s->n_mixed == N_MIXED)
        make_room_to_mix(e, frame);
    s->mixed[s->n_mixed++] = (struct mixed){gva & ~0xfffull, s->current, frame};
    s->flags[frame] |= FRAME_EXECUTABLE | FRAME_TRANSLATED;
    s->uses_shown |= (s->flags[frame] & FRAME_SHOWN) != 0;
}

/* The last byte that is translated with the instruction at `rip`: of its block, or at least of its 15 bytes. */
static uint64_t last_translated(const struct engine *e, uint64_t rip)
{
    uint64_t in_block = rip - e->block_address, last = e->block.bytes - in_block - 1;
    return rip + (in_block < e->block.bytes && last > 14 ? last : 14);
}

/*
 * Does the instruction at `rip`, or what its block runs on into, lie in the frame, and under which address? Before a block
 * runs all of it is fetched: if a store of it undid that, it would never get past the store.
 */
static bool lies_in(struct engine *e, uint64_t rip, uint32_t frame, uint64_t *at)
{
    *at = frame_of(e, rip) == frame ? rip : last_translated(e, rip);
    return frame_of(e, *at) == frame;
}

static void suspend_frame(struct engine *e, uint32_t frame);

/*
 * Somebody is about to write to the frame through `gva`. `rip`: the linear address of the instruction that does.
 * One that lies in the frame needs both: to be fetched where it lies, and to store through `gva`, wherever that is.
 */
void make_writable(struct engine *e, uint32_t frame, uint64_t gva, uint64_t rip, bool no_execute)
{
    struct shadow *s = e->shadow;
    guest_table_changes(s, frame);
    if (!(s->flags[frame] & FRAME_TRANSLATED) || (s->n_mixed && is_mixed_as(e, gva, frame)))
        return;
    uint64_t own;
    bool is_own = lies_in(e, rip, frame, &own);
    if (is_own && is_mixed_as(e, own, frame) && s->n_mixed < N_MIXED) {
        mix(e, frame, gva); /* it stores through a second address */
        return;
    }
    bool is_mixed_now = is_own || (s->n_flips[frame] >= MAX_FLIPS && !no_execute);
    if (!is_mixed_now) {
        suspend_frame(e, frame);
        return;
    }
    forget_frame(e, frame);
    if (is_own && (own ^ gva) >> 12)
        mix(e, frame, own);
    mix(e, frame, gva);
}

/* Is the page mixed, whatever it maps? */
bool is_mixed(const struct engine *e, uint64_t gva)
{
    const struct shadow *s = e->shadow;
    for (uint32_t i = 0; i < s->n_mixed; i++)
        if (s->mixed[i].page == (gva & ~0xfffull) && s->mixed[i].root == s->current)
            return true;
    return false;
}

/* Is it mixed and maps this frame? */
bool is_mixed_as(const struct engine *e, uint64_t gva, uint32_t frame)
{
    const struct shadow *s = e->shadow;
    for (uint32_t i = 0; i < s->n_mixed; i++)
        if (s->mixed[i].page == (gva & ~0xfffull) && s->mixed[i].root == s->current && s->mixed[i].frame == frame)
            return true;
    return false;
}

/* May an entry that maps the frame be executable now, without a fetch? */
bool is_code_everywhere(const struct engine *e, uint32_t frame)
{
    const struct shadow *s = e->shadow;
    return (s->flags[frame] & FRAME_EXECUTABLE) && !(s->n_mixed && is_mixed_frame(s, frame));
}

void drop_mixed_of_span(struct engine *e, uint32_t root, uint64_t first, uint64_t last)
{
    const struct mixed *mixed = e->shadow->mixed;
    for (uint32_t i = e->shadow->n_mixed; i-- > 0;)
        if (mixed[i].root == root && mixed[i].page >= first && mixed[i].page <= last)
            drop_mixed(e, i);
}

void drop_mixed_of_root(struct engine *e, uint32_t root)
{
    for (uint32_t i = e->shadow->n_mixed; i-- > 0;)
        if (e->shadow->mixed[i].root == root)
            drop_mixed(e, i);
}

/* The frame is code no more: it has its own bytes, and nothing of it can be executed. */
static void leave_code(struct engine *e, uint32_t frame)
{
    struct shadow *s = e->shadow;
    drop_mixed_of_frame(e, frame);
    s->versions[frame]++;
    if (s->flags[frame] & FRAME_PATCHED)
        undo_patches(e, frame);
    s->flags[frame] &= (uint8_t)~(FRAME_EXECUTABLE | FRAME_TRANSLATED);
    change_aliases(e, frame, 0, ENTRY_NX);
    new_epoch(e);
}

/* Likewise, and what was translated from it goes. */
void forget_frame(struct engine *e, uint32_t frame)
{
    leave_code(e, frame);
    forget_translations(e, frame, 0, PAGE_BYTES);
}

/* Likewise, but what was translated from it may be of use again. */
static void suspend_frame(struct engine *e, uint32_t frame)
{
    keep_code(e, frame);
    leave_code(e, frame);
}

/* --- guest tables */

/* The current root's shadow of a span was made from this guest table: a store into it shall be seen. */
void protect_table(struct engine *e, uint32_t frame, uint64_t span)
{
    struct shadow *s = e->shadow;
    uint32_t bit = 1u << s->current;
    if (!s->table_of[frame])
        s->span_of[frame] = span;
    else if (s->span_of[frame] != span)
        s->span_of[frame] = SPAN_EVERYTHING;
    if (s->table_of[frame] & bit)
        return;
    s->table_of[frame] |= bit;
    s->uses_shown |= (s->flags[frame] & FRAME_SHOWN) != 0;
    if (s->flags[frame] & FRAME_WRITABLE) {
        s->flags[frame] &= (uint8_t)~FRAME_WRITABLE;
        change_aliases(e, frame, ENTRY_W, 0);
    }
}

/*
 * The host is about to write to the frame on the guest's behalf. Accessed and dirty bits of the walker itself
 * (`is_walker`) are none of the guest's changes.
 */
void pv_shadow_host_write(pv_vcpu *v, uint64_t gpa, int is_walker)
{
    struct engine *e = (struct engine *)v;
    struct shadow *s = e->shadow;
    uint32_t frame = (uint32_t)(gpa / PAGE_BYTES);
    if (frame >= s->n_frames)
        return;
    if (!is_walker)
        guest_table_changes(s, frame);
    if (s->flags[frame] & FRAME_TRANSLATED)
        suspend_frame(e, frame);
}

/* --- frames that others use as well */

/* Nobody knows anything of the frame that a store of others could make wrong, and it holds the guest's own bytes. */
static void begin_anew(struct engine *e, uint32_t frame)
{
    guest_table_changes(e->shadow, frame);
    if (e->shadow->flags[frame] & FRAME_TRANSLATED)
        forget_frame(e, frame);
}

/*
 * A frame is shown: from now on others read it, or write to it, with no word to its engine. They do so while the guest
 * does not run, so it is enough to begin anew at each end of a run in which the frame was code, or a table.
 */
void pv_shadow_show(pv_vcpu *v, uint64_t gpa, int is_shown)
{
    struct engine *e = (struct engine *)v;
    struct shadow *s = e->shadow;
    uint32_t frame = (uint32_t)(gpa / PAGE_BYTES);
    if (frame >= s->n_frames)
        return;
    s->flags[frame] = (uint8_t)((s->flags[frame] & ~FRAME_SHOWN) | (is_shown ? FRAME_SHOWN : 0));
    begin_anew(e, frame);
}

bool uses_shown_frames(const struct engine *e)
{
    return e->shadow && e->shadow->uses_shown;
}

void restore_shown_frames(struct engine *e)
{
    struct shadow *s = e->shadow;
    s->uses_shown = false;
    for (uint32_t frame = 0; frame < s->n_frames; frame++)
        if (s->flags[frame] & FRAME_SHOWN)
            begin_anew(e, frame);
}
