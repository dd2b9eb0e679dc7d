/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code that changes unseen, in a wing whose guest has its own tables in CR3 (para). The engine notices a store into
 * code only where it goes through an executable page of the same engine. A store through another address, of another
 * vCPU or of the host is missed (Unicorn 2.1.4), and what was translated before would run on.
 *
 * So whoever keeps the frames' types says of each which may be written to, and gives it a new number in `code` when
 * that begins or ends (para/frames.py). What was translated under another number is forgotten. While a frame may be
 * written to, a copy of it is kept, and each block in it is compared before it runs: that is slow, and W^X is fast.
 * A block that changes its own rest through another address runs on as it was, as SDM 3A 9.1.3 lets it.
 */
#include "api.h"
#include "shim.h"

#include <stdlib.h>

enum { N_COPIES = 256, N_SPACES = 16 };
enum { PRESENT = 1, USER = 4 };
#define NO_EXECUTE (1ull << 63)

struct copy {
    uint32_t frame;
    uint8_t bytes[PAGE_BYTES];
};

struct space {                 /* an address space whose epoch may still be its own */
    uint64_t root, epoch, generation;
};

struct code {
    const pv_paging *paging;
    uint32_t *seen;            /* by frame: its number in paging->code when its code was translated; 0: none was */
    uint16_t *copy_of;         /* by frame: 1 + an index into copies, or 0 */
    struct copy *copies;
    uint32_t next_copy;
    struct space spaces[N_SPACES];
    uint32_t next_space;
};

int pv_paging_attach(pv_vcpu *v, pv_roots *roots)
{
    struct engine *e = (struct engine *)v;
    struct code *c = e->code = calloc(1, sizeof *c);
    if (!c)
        return -1;
    c->paging = roots->paging;
    c->seen = calloc(c->paging->n_ram_frames, sizeof *c->seen);
    c->copy_of = calloc(c->paging->n_ram_frames, sizeof *c->copy_of);
    c->copies = calloc(N_COPIES, sizeof *c->copies);
    if (!c->seen || !c->copy_of || !c->copies)
        return -1;
    v->device[PV_DEVICE_PAGING] = roots;
    return 0;
}

void close_code(struct engine *e)
{
    struct code *c = e->code;
    if (!c)
        return;
    free(c->seen);
    free(c->copy_of);
    free(c->copies);
    free(c);
    e->code = NULL;
}

/* CR3 was loaded. Where nothing has changed that matters to code, its blocks are still known from the last time. */
void enter_space(struct engine *e, uint64_t root)
{
    struct code *c = e->code;
    struct space *space = NULL;
    for (uint32_t i = 0; i < N_SPACES && !space; i++)
        if (c->spaces[i].root == root && c->spaces[i].generation == e->generation)
            space = &c->spaces[i];
    if (space) {
        e->epoch = space->epoch;
        return;
    }
    take_epoch(e);
    c->spaces[c->next_space] = (struct space){root, e->epoch, e->generation};
    c->next_space = (c->next_space + 1) % N_SPACES;
}

static void drop_copy(struct code *c, uint32_t frame)
{
    c->copy_of[frame] = 0;
}

static void take_copy(struct engine *e, uint32_t frame)
{
    struct code *c = e->code;
    struct copy *copy = &c->copies[c->next_copy];
    if (c->copy_of[copy->frame] == c->next_copy + 1)
        drop_copy(c, copy->frame);
    copy->frame = frame;
    memcpy(copy->bytes, e->ram + frame * PAGE_BYTES, PAGE_BYTES);
    c->copy_of[frame] = (uint16_t)(c->next_copy + 1);
    c->next_copy = (c->next_copy + 1) % N_COPIES;
}

/* Is what was translated from these bytes of the frame what stands there? */
static bool is_current(const struct engine *e, uint32_t frame, uint32_t offset, uint32_t n_bytes)
{
    const struct code *c = e->code;
    if (c->seen[frame] != c->paging->code[frame])
        return false;
    if (c->paging->type[frame] == PV_FRAME_NONE)
        return !c->copy_of[frame];
    if (!c->copy_of[frame])
        return false;
    const uint8_t *copy = c->copies[c->copy_of[frame] - 1].bytes;
    return !memcmp(copy + offset, e->ram + frame * PAGE_BYTES + offset, n_bytes);
}

static void learn(struct engine *e, uint32_t frame)
{
    struct code *c = e->code;
    c->seen[frame] = c->paging->code[frame];
    if (c->paging->type[frame] == PV_FRAME_NONE)
        drop_copy(c, frame);
    else
        take_copy(e, frame);
}

/* The part of a block that lies in one page. */
static enum code_state look_at_part(struct engine *e, uint64_t address, uint32_t n_bytes)
{
    struct code *c = e->code;
    uint64_t physical, rights;
    if (!walk(e, address, &physical, &rights) || rights & NO_EXECUTE || (in_user_code(e) && !(rights & USER)))
        return CODE_UNKNOWN;
    if (physical >= e->ram_bytes)
        return physical >= HV_BASE ? CODE_FIXED : CODE_UNKNOWN;
    uint32_t frame = (uint32_t)(physical / PAGE_BYTES);
    if (!is_current(e, frame, (uint32_t)(physical % PAGE_BYTES), n_bytes)) {
        bool is_new = !c->seen[frame];
        learn(e, frame);
        if (!is_new) {
            pv_forget_code(&e->v, address & ~(PAGE_BYTES - 1));
            return CODE_STALE;
        }
    }
    return c->paging->type[frame] == PV_FRAME_NONE ? CODE_FIXED : CODE_CHANGING;
}

/* A block lies in two pages at most. */
enum code_state look_at_code(struct engine *e, uint64_t address, uint32_t size)
{
    uint32_t first = (uint32_t)(PAGE_BYTES - address % PAGE_BYTES);
    if (size <= first)
        return look_at_part(e, address, size);
    enum code_state one = look_at_part(e, address, first);
    if (one == CODE_STALE)
        return one;
    enum code_state other = look_at_part(e, address + first, size - first);
    return other > one ? other : one;
}
