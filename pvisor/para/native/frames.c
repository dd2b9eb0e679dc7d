/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frame types and counts in C. The twin, which says why, is para/frames.py. */
#include "para/native/frames.h"
#include "api.h"

/* The frame that an entry names, or -1. */
static int64_t frame_of(const pv_paging *p, uint64_t entry)
{
    uint64_t frame = (entry & ENTRY_FRAME) / PAGE_BYTES, window = p->window / PAGE_BYTES;
    if (frame < p->n_ram_frames)
        return (int64_t)frame;
    if (frame - window < p->n_frames - p->n_ram_frames)
        return (int64_t)(frame - window + p->n_ram_frames);
    return -1;
}

/* Its content may be another from now on, and no engine is told of the store. */
static void content_changes(pv_paging *p, uint64_t frame)
{
    if (!p->code[frame])
        return;
    if (!++p->code[frame])
        p->code[frame] = 1;
    p->pending |= PV_PENDING_EPOCH;
}

static void drop_entry(pv_paging *p, uint8_t level, uint64_t entry)
{
    if (!(entry & ENTRY_P))
        return;
    uint64_t frame = (uint64_t)frame_of(p, entry);
    if (level > PV_FRAME_L1) {
        drop_table(p, frame);
        return;
    }
    p->stale[frame] = p->n_flushes;
    if (!(entry & ENTRY_W)) {
        p->n_other[frame]--;
    } else if (!--p->n_typed[frame]) {
        p->type[frame] = PV_FRAME_NONE;
        content_changes(p, frame);
    }
}

static bool is_own(uint8_t level, uint32_t index)
{
    return level < PV_FRAME_L4 || index < HOLE_SLOT || index >= HOLE_SLOTS_END;
}

/* A table that nobody uses any more is none. */
static void give_up_table(pv_paging *p, uint64_t frame)
{
    uint64_t *entries = p->ram + frame * ENTRIES;
    uint8_t level = p->type[frame];
    p->n_walked++;
    p->type[frame] = PV_FRAME_NONE;
    content_changes(p, frame);
    for (uint32_t i = 0; i < ENTRIES; i++)
        if (is_own(level, i))
            drop_entry(p, level, entries[i]);
    if (level == PV_FRAME_L4)
        entries[HOLE_SLOT] = 0;
    p->pending |= PV_PENDING_EPOCH;
}

/* -PV_EBUSY, or 0: the frame has no type now. */
static int clear_type(pv_paging *p, uint64_t frame)
{
    if (p->n_typed[frame])
        return -PV_EBUSY;
    if (p->type[frame])
        give_up_table(p, frame);
    return 0;
}

static int take_page(pv_paging *p, uint64_t frame, uint64_t entry)
{
    if (frame >= p->n_ram_frames && !(entry & ENTRY_NX))
        return -PV_EINVAL;
    if (entry & ENTRY_W) {
        if (p->flags[frame] & PV_FRAME_READ_ONLY)
            return -PV_EPERM;
        if (p->type[frame] != PV_FRAME_WRITABLE) {
            int error = clear_type(p, frame);
            if (error)
                return error;
            p->type[frame] = PV_FRAME_WRITABLE;
            content_changes(p, frame);
        }
        p->n_typed[frame]++;
    } else {
        p->n_other[frame]++;
    }
    if (!(entry & ENTRY_NX) && !p->code[frame])
        p->code[frame] = 1;
    return 0;
}

static int take_entry(pv_paging *p, uint8_t level, uint64_t entry)
{
    if (!(entry & ENTRY_P))
        return 0;
    int64_t frame = frame_of(p, entry);
    if (frame < 0 || entry & ENTRY_LARGE)
        return -PV_EINVAL;
    if (level > PV_FRAME_L1)
        return take_table(p, (uint64_t)frame, level - 1);
    if (!(p->flags[frame] & PV_FRAME_POPULATED))
        return -PV_ENOENT;
    return take_page(p, (uint64_t)frame, entry);
}

static int take_entries(pv_paging *p, uint8_t level, const uint64_t *entries)
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        int error = 0;
        if (is_own(level, i))
            error = take_entry(p, level, entries[i]);
        else if (i > HOLE_SLOT && entries[i] & ENTRY_P)
            error = -PV_EINVAL;
        if (!error)
            continue;
        while (i-- > 0)
            if (is_own(level, i))
                drop_entry(p, level, entries[i]);
        return error;
    }
    return 0;
}

static int become_table(pv_paging *p, uint64_t frame, uint8_t level)
{
    uint64_t *entries = p->ram + frame * ENTRIES;
    p->n_walked++;
    p->type[frame] = level; /* before its entries are looked at: they may name it */
    p->n_typed[frame] = 1;
    int error = 0;
    for (uint32_t i = 0; level > PV_FRAME_L1 && i < ENTRIES && !error; i++) {
        int64_t below = is_own(level, i) && entries[i] & ENTRY_P ? frame_of(p, entries[i]) : -1;
        if (below >= 0 && p->type[below] != level - 1)
            error = -PV_EINVAL;
    }
    if (!error)
        error = take_entries(p, level, entries);
    if (error) {
        p->type[frame] = PV_FRAME_NONE;
        p->n_typed[frame] = 0;
        return error;
    }
    if (level == PV_FRAME_L4)
        entries[HOLE_SLOT] = p->hole_entry;
    content_changes(p, frame);
    if (p->stale[frame] == p->n_flushes)
        p->pending |= PV_PENDING_FLUSH;
    return 0;
}

int take_table(pv_paging *p, uint64_t frame, uint8_t level)
{
    if (frame >= p->n_ram_frames)
        return -PV_EINVAL;
    if (p->type[frame] == level) {
        p->n_typed[frame]++;
        return 0;
    }
    if (!(p->flags[frame] & PV_FRAME_POPULATED))
        return -PV_ENOENT;
    int error = clear_type(p, frame);
    return error ? error : become_table(p, frame, level);
}

int take_table_at(pv_paging *p, uint64_t gpa, uint8_t level)
{
    if (gpa % PAGE_BYTES || gpa / PAGE_BYTES >= p->n_ram_frames)
        return -PV_EINVAL;
    return take_table(p, gpa / PAGE_BYTES, level);
}

void drop_table(pv_paging *p, uint64_t frame)
{
    p->n_typed[frame]--; /* and it stays one, with all that its entries hold, until its frame is wanted */
}

void untake_table(pv_paging *p, uint64_t frame)
{
    if (!--p->n_typed[frame])
        give_up_table(p, frame);
}

int replace_entry(pv_paging *p, uint64_t at, uint64_t entry)
{
    uint64_t table = at / ENTRIES, old = p->ram[at];
    uint8_t level = p->type[table];
    p->n_typed[table]++; /* it is not to be given up for the sake of its own entry */
    int error = take_entry(p, level, entry);
    p->n_typed[table]--;
    if (error)
        return error;
    p->ram[at] = entry;
    drop_entry(p, level, old);
    if (old & ENTRY_P && (level > PV_FRAME_L1 || !(old & ENTRY_NX)))
        p->pending |= PV_PENDING_EPOCH;
    return 0;
}

void flush_all(pv_paging *p)
{
    p->n_flushes++;
    p->pending &= ~(uint32_t)PV_PENDING_FLUSH;
    for (uint32_t i = 0; i < p->n_vcpus; i++)
        pv_flush_tlb(p->vcpus[i]);
}

void settle(pv_paging *p)
{
    if (likely(!p->pending))
        return;
    if (p->pending & PV_PENDING_EPOCH)
        for (uint32_t i = 0; i < p->n_vcpus; i++)
            pv_new_epoch(p->vcpus[i]);
    if (p->pending & PV_PENDING_FLUSH)
        flush_all(p);
    p->pending = 0;
}

int pv_paging_adopt(pv_paging *p, uint32_t frame, uint32_t level)
{
    int error = take_table(p, frame, (uint8_t)level);
    if (!error)
        p->n_typed[frame]--;
    return error;
}
