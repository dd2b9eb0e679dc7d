/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code that is kept while its frame is written to. A kernel that patches itself writes a few bytes into a page of which
 * dozens of blocks have been translated. So the first store makes the frame writable and executable no more (W^X), but
 * the translations stay, with a copy of the bytes that they were made of. When the frame is executed again, the two are
 * compared, and what was translated from changed bytes is forgotten.
 *
 * Meanwhile nothing of it runs: the engine comes to a block by its address, which faults, or from a block of the same
 * page. Only a block that begins in the page before can hold some of it; so those are forgotten at once.
 */
#include "shadow.h"
#include "api.h"

#include <stdlib.h>

enum { N_KEPT = 1024, GAP_BYTES = 32 };

struct kept {
    uint32_t frame;
    bool is_used;
    uint8_t bytes[PAGE_BYTES];
};

bool open_kept(struct shadow *s)
{
    s->kept_at = calloc(s->n_frames, sizeof *s->kept_at);
    s->kept = calloc(N_KEPT, sizeof *s->kept);
    return s->kept_at && s->kept;
}

void close_kept(struct shadow *s)
{
    free(s->kept_at);
    free(s->kept);
}

/* Unicorn finds a frame's translations by an address that leads to it (2.1.4: uc_ctl_remove_cache). */
static void show_frame(struct engine *e, uint32_t frame)
{
    uint64_t *entry = (uint64_t *)(e->hv + (e->shadow->forget_entry - HV_BASE));
    *entry = frame * PAGE_BYTES | ENTRY_P | ENTRY_U | ENTRY_AD; /* in ring 3, too: a fault here is not seen */
    write_register(e, UC_X86_REG_CR3, &e->shadow->forget_root);
}

static void hide_frame(struct engine *e)
{
    write_register(e, UC_X86_REG_CR3, &e->v.cr3);
}

static void forget_bytes(struct engine *e, uint64_t first, uint64_t end)
{
    unicorn.ctl(e->uc, UC_CTL_WRITE(UC_CTL_TB_REMOVE_CACHE, 2), first, end);
}

/* All that was translated from some bytes of a frame. */
void forget_translations(struct engine *e, uint32_t frame, uint32_t first, uint32_t end)
{
    show_frame(e, frame);
    forget_bytes(e, first, end);
    hide_frame(e);
}

static void release(struct shadow *s, struct kept *kept)
{
    kept->is_used = false;
    s->kept_at[kept->frame] = 0;
    s->flags[kept->frame] &= (uint8_t)~FRAME_KEPT;
}

/* The frame is about to be written to, and holds code. Its patches are still in it. */
void keep_code(struct engine *e, uint32_t frame)
{
    struct shadow *s = e->shadow;
    struct kept *kept = &s->kept[s->next_kept];
    s->next_kept = (s->next_kept + 1) % N_KEPT;
    if (kept->is_used) { /* the oldest: perhaps it is code no more */
        forget_translations(e, kept->frame, 0, PAGE_BYTES);
        release(s, kept);
    }
    kept->frame = frame;
    kept->is_used = true;
    memcpy(kept->bytes, e->ram + frame * PAGE_BYTES, PAGE_BYTES);
    s->kept_at[frame] = (uint16_t)(kept - s->kept + 1);
    s->flags[frame] |= FRAME_KEPT;
    forget_translations(e, frame, 0, 1);
}

/* From `at` on, the next run of changed bytes, with small gaps in it. False: there is none. */
static bool find_change(const uint8_t *before, const uint8_t *now, uint32_t at, uint32_t *first, uint32_t *end)
{
    while (at < PAGE_BYTES && before[at] == now[at])
        at++;
    *first = *end = at;
    for (; at < PAGE_BYTES && at < *end + GAP_BYTES; at++)
        if (before[at] != now[at])
            *end = at + 1;
    return *first < PAGE_BYTES;
}

/* The frame is about to be executed again. */
void compare_kept_code(struct engine *e, uint32_t frame)
{
    struct shadow *s = e->shadow;
    struct kept *kept = &s->kept[s->kept_at[frame] - 1];
    const uint8_t *now = e->ram + frame * PAGE_BYTES;
    uint32_t first, end = 0;
    release(s, kept);
    if (!memcmp(kept->bytes, now, PAGE_BYTES))
        return;
    show_frame(e, frame);
    while (find_change(kept->bytes, now, end, &first, &end))
        forget_bytes(e, first, end);
    hide_frame(e);
}
