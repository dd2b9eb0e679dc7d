/* SPDX-License-Identifier: MIT */
/*
 * A request comes from another domain, so everything in it is checked before anything is done. The data never pass through
 * here: GRANT_COPY moves them between the frontend's pages and the disk's, and checks itself what was granted.
 */
#include <stdbool.h>

#include <pv/block.h>
#include <pv/hypercall.h>
#include <pv/string.h>

#include "disk.h"

/* Each segment may lie across two pages of the disk. */
enum { MAX_COPIES = 2 * PV_BLOCK_SEGMENTS };

static _Alignas(PV_PAGE_BYTES) uint8_t sectors[N_SECTORS][PV_SECTOR_SIZE];

uint32_t disk_bytes_of(const struct pv_block_request *request)
{
    uint32_t n_bytes = 0;
    for (unsigned i = 0; i < request->n_segments; i++)
        n_bytes += request->segments[i].n_bytes;
    return n_bytes;
}

static bool is_inside(const struct pv_block_request *request)
{
    return request->sector <= N_SECTORS && request->n_sectors <= N_SECTORS - request->sector;
}

static bool is_sound_transfer(const struct pv_block_request *request)
{
    if (!is_inside(request) || request->n_segments == 0 || request->n_segments > PV_BLOCK_SEGMENTS)
        return false;
    for (unsigned i = 0; i < request->n_segments; i++) {
        const struct pv_block_segment *segment = &request->segments[i];
        if (segment->n_bytes == 0 || segment->n_bytes % PV_SECTOR_SIZE != 0 ||
            segment->offset + segment->n_bytes > PV_PAGE_BYTES)
            return false;
    }
    return disk_bytes_of(request) == request->n_sectors * PV_SECTOR_SIZE;
}

/* The copy of as much of a segment, from byte DONE on, as lies in one page of the disk at HERE. */
static struct pv_grant_copy_op copy_of(uint32_t domid, bool is_read, const struct pv_block_segment *segment,
                                       uint32_t done, uintptr_t here)
{
    uint32_t at = here % PV_PAGE_BYTES, left = segment->n_bytes - done, n = PV_PAGE_BYTES - at;
    uint64_t page = here - at; /* the kernel's addresses are guest-physical ones */
    struct pv_grant_copy_op op = {
        .source = segment->gref, .source_domid = domid, .source_offset = segment->offset + done,
        .dest = page, .dest_domid = PV_DOMID_SELF, .dest_offset = at, .n_bytes = n < left ? n : left,
    };
    if (is_read)
        op = (struct pv_grant_copy_op){
            .source = op.dest, .source_domid = op.dest_domid, .source_offset = op.dest_offset,
            .dest = op.source, .dest_domid = op.source_domid, .dest_offset = op.source_offset, .n_bytes = op.n_bytes,
        };
    return op;
}

/* All pieces by one hypercall. */
static uint32_t transfer(uint32_t domid, const struct pv_block_request *request)
{
    struct pv_grant_copy_op copies[MAX_COPIES];
    uint32_t n = 0;
    uintptr_t here = (uintptr_t)sectors[request->sector];
    for (unsigned i = 0; i < request->n_segments; i++) {
        for (uint32_t done = 0; done < request->segments[i].n_bytes; n++) {
            copies[n] = copy_of(domid, request->op == PV_BLOCK_READ, &request->segments[i], done, here);
            done += copies[n].n_bytes;
            here += copies[n].n_bytes;
        }
    }
    if (pv_grant_copy(copies, n) != n)
        return PV_EIO;
    for (uint32_t i = 0; i < n; i++)
        if (copies[i].status != 0)
            return copies[i].status;
    return 0;
}

uint32_t disk_do(uint32_t domid, const struct pv_block_request *request)
{
    switch (request->op) {
    case PV_BLOCK_READ:
    case PV_BLOCK_WRITE:
        return is_sound_transfer(request) ? transfer(domid, request) : PV_EINVAL;
    case PV_BLOCK_FLUSH: /* memory is as safe as it will ever be */
        return request->n_segments == 0 && request->sector == 0 && request->n_sectors == 0 ? 0 : PV_EINVAL;
    case PV_BLOCK_DISCARD:
        if (request->n_segments != 0 || request->n_sectors == 0 || request->n_sectors > PV_BLOCK_DISCARD_MAX ||
            !is_inside(request))
            return PV_EINVAL;
        memset(sectors[request->sector], 0, request->n_sectors * PV_SECTOR_SIZE);
        return 0;
    default:
        return PV_EINVAL;
    }
}
