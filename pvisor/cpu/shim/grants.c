/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames that other domains have granted, in the window of engine-physical addresses that is kept for them.
 *
 * Each engine of a domain is given the whole window once, as one range of host memory, and all share that range. Slots
 * change behind it: the host's kernel puts the granted page there as well (mremap(2): an old size of 0 makes a second
 * mapping of shared memory). To map each page into the engine by itself would cost 8 us with 64 of them and more than
 * 1 ms with 1000 (2.1.4), because the engine builds its map of all ranges anew each time. And a range for each engine
 * would cost the host a mapping for each slot and engine, of which it gives a process 65,530 (Linux's max_map_count).
 */
#define _GNU_SOURCE
#include "api.h"
#include "shim.h"

#include <pv/abi.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { WINDOW_BYTES = PV_GRANT_SLOTS * PAGE_BYTES };
enum { READ = 1, WRITE = 2 };

struct pv_grants {
    uint8_t *window;                 /* its host address */
    uint32_t n_users;                /* engines, and who has opened it */
    uint8_t rights[PV_GRANT_SLOTS];  /* 0: nothing is there */
};

/* Host address of an engine-physical one in the window, or NULL: nothing is there, or it may not be written. */
uint8_t *granted_page(struct engine *e, uint64_t physical, bool write)
{
    uint64_t offset = physical - PV_GRANT_WINDOW;
    pv_grants *g = e->grants;
    if (likely(offset >= WINDOW_BYTES) || !g || !(g->rights[offset / PAGE_BYTES] & (write ? WRITE : READ)))
        return NULL;
    return g->window + offset;
}

pv_grants *pv_open_grants(void)
{
    pv_grants *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->window = mmap(NULL, WINDOW_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g->window == MAP_FAILED) {
        free(g);
        return NULL;
    }
    g->n_users = 1;
    return g;
}

void pv_close_grants(pv_grants *g)
{
    if (!g || __atomic_sub_fetch(&g->n_users, 1, __ATOMIC_SEQ_CST)) /* Python lets go of it on any thread */
        return;
    munmap(g->window, WINDOW_BYTES);
    free(g);
}

int pv_show_grants(pv_vcpu *v, pv_grants *g)
{
    struct engine *e = (struct engine *)v;
    if (e->grants == g)
        return 0;
    if (e->lane || e->grants || unicorn.mem_map_ptr(e->uc, PV_GRANT_WINDOW, WINDOW_BYTES, UC_PROT_ALL, g->window))
        return -1;
    __atomic_add_fetch(&g->n_users, 1, __ATOMIC_SEQ_CST);
    e->grants = g;
    return 0;
}

int pv_map_grant(pv_grants *g, uint32_t slot, void *page, int writable)
{
    if (slot >= PV_GRANT_SLOTS)
        return -1;
#ifdef __linux__
    if (mremap(page, 0, PAGE_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, g->window + slot * PAGE_BYTES) == MAP_FAILED)
        return -1;
    g->rights[slot] = READ | (writable ? WRITE : 0);
    return 0;
#else
    (void)page, (void)writable;
    return -1;
#endif
}

int pv_unmap_grant(pv_grants *g, uint32_t slot)
{
    if (slot >= PV_GRANT_SLOTS || !g->rights[slot])
        return 0;
    g->rights[slot] = 0;
    /* Should this fail, the page stays where nothing leads: no entry maps it, and the next one takes its place. */
    (void)!mmap(g->window + slot * PAGE_BYTES, PAGE_BYTES, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    return 1;
}

void close_grants(struct engine *e)
{
    pv_close_grants(e->grants);
    e->grants = NULL;
}
