/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blocks that are known by the frames in which their bytes lie, under shadow paging.
 *
 * The table that the block hook asks forgets all at once whenever some address may hold other code (blocks.c), and a
 * guest that changes its address spaces and patches its code, as any kernel does while it boots, brings that about
 * thousands of times a second. Most of what is forgotten still holds. W^X says so: a frame with code in it is not
 * written to before it is forgotten (shadow_frames.c), which gives it a new version here. So a block at the same address,
 * in the same frames of the same versions, has the same instructions, and nothing in it is to be replaced.
 *
 * Of a mixed frame, which is written to while it is executed, a copy is kept. A block of it whose bytes differ from the
 * copy's gives the frame a new version and a new copy; the hook's own table never has such blocks, so each is compared.
 * That is slow, and a kernel patches most of its code once: a frame that has run for long without a change is unmixed.
 */
#include "shadow.h"

#include <stdlib.h>

enum { KNOWN_BITS = 18, N_KNOWN = 1 << KNOWN_BITS, ALIKE_TO_UNMIX = 2000, MODE_BITS = HF_CPL | HF_CS32 | HF_CS64 };

struct known_block {
    uint64_t address;
    uint32_t frames[2], versions[2];   /* of its first page, and of its second if it has one */
    uint32_t n_bytes, insns;
    uint32_t mode;
};

struct frame_copy {
    uint32_t frame;
    uint32_t n_alike;          /* blocks since the last change, counted from 1; 0: unused */
    uint8_t bytes[PAGE_BYTES];
};

/* False: there is no memory for the table. Then nothing is ever known. */
bool open_known(struct shadow *s)
{
    s->versions = calloc(s->n_frames, sizeof *s->versions);
    s->known = calloc(N_KNOWN, sizeof *s->known);
    s->copies = calloc(N_MIXED, sizeof *s->copies);
    return s->versions && s->known && s->copies;
}

void close_known(struct shadow *s)
{
    free(s->versions);
    free(s->known);
    free(s->copies);
}

/* What is sensitive has changed, so that all code is to be looked through again. */
void forget_known(struct engine *e)
{
    if (e->shadow)
        memset(e->shadow->known, 0, N_KNOWN * sizeof *e->shadow->known);
}

static void take_copy(struct engine *e, struct frame_copy *copy, uint32_t frame)
{
    copy->frame = frame;
    copy->n_alike = 1;
    memcpy(copy->bytes, e->ram + frame * PAGE_BYTES, PAGE_BYTES);
    e->shadow->versions[frame]++;
}

/* A part of a mixed frame is about to be executed. */
static void compare_with_copy(struct engine *e, uint32_t frame, uint32_t offset, uint32_t n_bytes)
{
    struct shadow *s = e->shadow;
    struct frame_copy *unused = NULL;
    for (struct frame_copy *copy = s->copies; copy < s->copies + N_MIXED; copy++) {
        if (!copy->n_alike || !is_mixed_frame(s, copy->frame)) {
            unused = copy;
        } else if (copy->frame == frame) {
            if (memcmp(copy->bytes + offset, e->ram + frame * PAGE_BYTES + offset, n_bytes)) {
                take_copy(e, copy, frame);
            } else if (++copy->n_alike > ALIKE_TO_UNMIX) {
                copy->n_alike = 0; /* mixed again, it begins anew: a store into its own page must be done at last */
                unmix_frame(e, frame);
            }
            return;
        }
    }
    take_copy(e, unused, frame); /* there are as many as frames can be mixed, and this one has none */
}

/* The frame of a part of a block, with its version. False: it is not RAM of the guest's. */
static bool find_frame(struct engine *e, uint64_t linear, uint32_t n_bytes, uint32_t *frame, uint32_t *version)
{
    struct shadow *s = e->shadow;
    uint64_t physical, rights;
    if (!walk(e, linear, &physical, &rights) || physical >= e->ram_bytes)
        return false;
    *frame = (uint32_t)(physical / PAGE_BYTES);
    if (!(s->flags[*frame] & FRAME_TRANSLATED))
        return false;
    if (unlikely(s->n_mixed && is_mixed_frame(s, *frame)))
        compare_with_copy(e, *frame, (uint32_t)(physical % PAGE_BYTES), n_bytes);
    *version = s->versions[*frame];
    return true;
}

/* Where the table has the block, if it has it; `wanted` says which it is. NULL: it cannot be known. */
static struct known_block *place_of(struct engine *e, uint64_t address, uint32_t size, struct known_block *wanted)
{
    uint32_t in_first = (uint32_t)(PAGE_BYTES - address % PAGE_BYTES);
    if (!size || e->n_operations || e->v.code_writable)
        return NULL; /* a probed block is looked at each time */
    *wanted = (struct known_block){.address = address, .n_bytes = size, .mode = current_hflags(e) & MODE_BITS};
    if (!find_frame(e, address, size < in_first ? size : in_first, &wanted->frames[0], &wanted->versions[0]))
        return NULL;
    if (size > in_first &&
        !find_frame(e, address + in_first, size - in_first, &wanted->frames[1], &wanted->versions[1]))
        return NULL; /* a block lies in two pages at most */
    uint64_t hash = (address ^ (uint64_t)wanted->frames[0] << 40 ^ wanted->mode) * 0x9e3779b97f4a7c15ull;
    return &e->shadow->known[hash >> (64 - KNOWN_BITS)];
}

/* How many instructions the block has, with PAUSING if it ends in one; or 0 where that is not known. */
uint32_t recall_block(struct engine *e, uint64_t address, uint32_t size)
{
    struct known_block wanted;
    const struct known_block *known = place_of(e, address, size, &wanted);
    if (!known || known->address != address || known->n_bytes != size || known->mode != wanted.mode ||
        memcmp(known->frames, wanted.frames, sizeof wanted.frames) ||
        memcmp(known->versions, wanted.versions, sizeof wanted.versions))
        return 0;
    return known->insns;
}

/* The block has been looked through, and has so many instructions, as recall_block will say. */
void know_block(struct engine *e, uint64_t address, uint32_t size, uint32_t insns)
{
    struct known_block block;
    struct known_block *place = place_of(e, address, size, &block);
    if (!place)
        return;
    block.insns = insns;
    *place = block;
}
