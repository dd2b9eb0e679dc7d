/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames that other domains have granted, in the window of engine-physical addresses that is kept for them.
 *
 * The engine is given the whole window once, as one range of host memory. Slots change behind it: the host's kernel
 * puts the granted page there as well (mremap(2): an old size of 0 makes a second mapping of shared memory). To map
 * each page into the engine by itself would cost 8 us with 64 of them and more than 1 ms with 1000 (2.1.4), because the
 * engine builds its map of all ranges anew each time.
 */
#define _GNU_SOURCE
#include "api.h"
#include "shim.h"

#include <pv/abi.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { WINDOW_BYTES = PV_GRANT_SLOTS * PAGE_BYTES };
enum { READ = 1, WRITE = 2 };

struct grants {
    uint8_t *window;                 /* its host address */
    uint8_t rights[PV_GRANT_SLOTS];  /* 0: nothing is there */
};

/* Host address of an engine-physical one in the window, or NULL: nothing is there, or it may not be written. */
uint8_t *granted_page(struct engine *e, uint64_t physical, bool write)
{
    uint64_t offset = physical - PV_GRANT_WINDOW;
    struct grants *g = e->grants;
    if (likely(offset >= WINDOW_BYTES) || !g || !(g->rights[offset / PAGE_BYTES] & (write ? WRITE : READ)))
        return NULL;
    return g->window + offset;
}

static bool open_window(struct engine *e)
{
    if (e->grants)
        return true;
    struct grants *g = calloc(1, sizeof *g);
    if (!g)
        return false;
    g->window = mmap(NULL, WINDOW_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g->window == MAP_FAILED) {
        free(g);
        return false;
    }
    if (unicorn.mem_map_ptr(e->uc, PV_GRANT_WINDOW, WINDOW_BYTES, UC_PROT_ALL, g->window)) {
        munmap(g->window, WINDOW_BYTES);
        free(g);
        return false;
    }
    e->grants = g;
    return true;
}

int pv_map_grant(pv_vcpu *v, uint32_t slot, void *page, int writable)
{
    struct engine *e = (struct engine *)v;
    if (e->lane || slot >= PV_GRANT_SLOTS || !open_window(e))
        return -1;
#ifdef __linux__
    void *there = e->grants->window + slot * PAGE_BYTES;
    if (mremap(page, 0, PAGE_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, there) == MAP_FAILED)
        return -1;
    e->grants->rights[slot] = READ | (writable ? WRITE : 0);
    return 0;
#else
    (void)page, (void)writable;
    return -1;
#endif
}

/* An entry that mapped the slot may be in the TLB still, with rights that the slot's next page does not give. */
void pv_unmap_grant(pv_vcpu *v, uint32_t slot)
{
    struct grants *g = ((struct engine *)v)->grants;
    if (!g || slot >= PV_GRANT_SLOTS || !g->rights[slot])
        return;
    g->rights[slot] = 0;
    pv_flush_tlb(v);
    /* Should this fail, the page stays where nothing leads: no entry maps it, and the next one takes its place. */
    (void)!mmap(g->window + slot * PAGE_BYTES, PAGE_BYTES, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

void close_grants(struct engine *e)
{
    if (e->grants)
        munmap(e->grants->window, WINDOW_BYTES);
    free(e->grants);
    e->grants = NULL;
}
