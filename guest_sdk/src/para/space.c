/* SPDX-License-Identifier: MIT */
/*
 * Address spaces: four-level page tables, of which the first entry of the top one, the kernel's map of all memory, is
 * the same in all. They are the CPU's own tables, as in the full wing, but an entry is changed by hypercall (paging.c),
 * and INVLPG is part of that call. Changes that may come later are sent together. A space is its top-level table.
 */
#include <stdbool.h>

#include <pv/error.h>
#include <pv/hypercall.h>
#include <pv/memory.h>

#include "paging.h"

#define N_ENTRIES 512
#define TOP_LEVEL 4

#define ENTRY_P        0x001ull
#define ENTRY_W        0x002ull
#define ENTRY_USER     0x004ull
#define ENTRY_ACCESSED 0x020ull
#define ENTRY_DIRTY    0x040ull
#define ENTRY_NX       0x8000000000000000ull
#define ADDRESS        0x000ffffffffff000ull

#define HOW (PV_MAP_WRITE | PV_MAP_EXECUTE | PV_MAP_USER | PV_MAP_LATER)

struct pv_space {
    uint64_t entries[N_ENTRIES];
};

static struct pv_space *current;

/* The last-level table that was used last, and what it is for: most changes come side by side. */
static struct {
    const struct pv_space *space;
    uint64_t address; /* in units of what a table maps */
    uint64_t *entries;
} recent;

struct pv_space *pv_space_kernel(void)
{
    return (struct pv_space *)pv_paging_root();
}

struct pv_space *pv_space_current(void)
{
    return current != NULL ? current : pv_space_kernel();
}

static size_t index_at(uint64_t address, int level)
{
    return address >> (12 + 9 * (level - 1)) & (N_ENTRIES - 1);
}

/* The first entry of a space's own, and the first after them, in its top-level table. */
static const size_t own_start = PV_SPACE_START >> 39, own_end = (PV_SPACE_END >> 39) + 1;

struct pv_space *pv_space_create(void)
{
    struct pv_space *space = pv_page_alloc();
    if (space == NULL)
        return NULL;
    for (size_t i = 0; i < own_start; i++)
        space->entries[i] = pv_space_kernel()->entries[i];
    if (pv_paging_add_table(space->entries, NULL, 0) != 0)
        return NULL; /* the page is lost; but nothing can refuse such a table */
    return space;
}

static uint64_t *table_of(uint64_t entry)
{
    return (uint64_t *)(entry & ADDRESS);
}

/* Make the tables below one plain pages again, which goes from the top downwards; they keep their content. */
static void unmake_tables(uint64_t *entries, size_t first, size_t last, int level)
{
    pv_paging_queue_plain(entries);
    for (size_t i = first; level > 1 && i < last; i++)
        if (entries[i] & ENTRY_P)
            unmake_tables(table_of(entries[i]), 0, N_ENTRIES, level - 1);
}

static void free_tables(uint64_t *entries, size_t first, size_t last, int level)
{
    for (size_t i = first; level > 1 && i < last; i++)
        if (entries[i] & ENTRY_P) {
            free_tables(table_of(entries[i]), 0, N_ENTRIES, level - 1);
            pv_page_free(table_of(entries[i]));
        }
}

int pv_space_destroy(struct pv_space *space)
{
    if (space == pv_space_kernel())
        return -PV_EINVAL;
    if (space == pv_space_current())
        return -PV_EBUSY;
    recent.space = NULL;
    pv_paging_send(false);
    pv_table_unpin((uintptr_t)space);
    unmake_tables(space->entries, own_start, own_end, TOP_LEVEL);
    pv_paging_send(false);
    free_tables(space->entries, own_start, own_end, TOP_LEVEL);
    pv_page_free(space);
    return 0;
}

void pv_space_switch(struct pv_space *space)
{
    pv_paging_send(false); /* the new root makes the CPU forget all that it knew */
    current = space;
    pv_root_set((uintptr_t)space, 0);
}

void pv_space_flush(struct pv_space *space)
{
    pv_paging_send(space == pv_space_current()); /* elsewhere the switch will do the rest */
}

static bool is_own(uint64_t address)
{
    return address % PV_PAGE_SIZE == 0 && address >= PV_SPACE_START && address < PV_SPACE_END;
}

/* The entry of a page; NULL where a table is missing, or with IS_MAPPED when it cannot be made. */
static uint64_t *entry_for(struct pv_space *space, uint64_t address, bool is_mapped)
{
    uint64_t *table = space->entries;
    if (recent.space == space && recent.address == address >> 21)
        return &recent.entries[index_at(address, 1)];
    for (int level = TOP_LEVEL; level > 1; level--) {
        uint64_t *entry = &table[index_at(address, level)];
        if (!(*entry & ENTRY_P)) {
            uint64_t *fresh = is_mapped ? pv_page_alloc() : NULL;
            if (fresh == NULL)
                return NULL;
            pv_paging_add_table(fresh, entry, ENTRY_USER | ENTRY_W | ENTRY_P); /* the page's own entry decides */
        }
        table = table_of(*(volatile uint64_t *)entry);
    }
    recent.space = space;
    recent.address = address >> 21;
    recent.entries = table;
    return &table[index_at(address, 1)];
}

static uint64_t entry_of(uint64_t physical, unsigned flags)
{
    return physical | ENTRY_P | (flags & PV_MAP_WRITE ? ENTRY_W : 0) | (flags & PV_MAP_USER ? ENTRY_USER : 0) |
           (flags & PV_MAP_EXECUTE ? 0 : ENTRY_NX);
}

/* Change the entry of a page. WAS_MAPPED: else there is nothing to forget. */
static int change(struct pv_space *space, uint64_t address, const uint64_t *entry, uint64_t value, unsigned flags,
                  bool was_mapped)
{
    bool is_known = was_mapped && space == pv_space_current();
    if (!(flags & PV_MAP_LATER))
        return pv_paging_write(entry, value, is_known ? address : 0);
    pv_paging_queue(entry, value, is_known);
    return 0;
}

int pv_page_map(struct pv_space *space, uint64_t address, uint64_t physical, unsigned flags)
{
    if (!is_own(address) || physical & ~ADDRESS || flags & ~HOW)
        return -PV_EINVAL;
    uint64_t *entry = entry_for(space, address, true);
    if (entry == NULL)
        return -PV_ENOMEM;
    if (pv_paging_read(entry) & ENTRY_P)
        return -PV_EEXIST;
    return change(space, address, entry, entry_of(physical, flags), flags, false);
}

/* The entry of a page that is mapped: 0, -PV_EINVAL or -PV_ENOENT. */
static int find(struct pv_space *space, uint64_t address, uint64_t **found)
{
    if (!is_own(address))
        return -PV_EINVAL;
    *found = entry_for(space, address, false);
    return *found != NULL && pv_paging_read(*found) & ENTRY_P ? 0 : -PV_ENOENT;
}

int pv_page_unmap(struct pv_space *space, uint64_t address, unsigned flags)
{
    uint64_t *entry;
    int error = flags & ~PV_MAP_LATER ? -PV_EINVAL : find(space, address, &entry);
    return error != 0 ? error : change(space, address, entry, 0, flags, true);
}

int pv_page_protect(struct pv_space *space, uint64_t address, unsigned flags)
{
    uint64_t *entry;
    int error = flags & ~HOW ? -PV_EINVAL : find(space, address, &entry);
    if (error != 0)
        return error;
    return change(space, address, entry, entry_of(pv_paging_read(entry) & ADDRESS, flags), flags, true);
}

int pv_page_lookup(struct pv_space *space, uint64_t address, uint64_t *physical, unsigned *flags)
{
    uint64_t *at;
    int error = find(space, address, &at);
    if (error != 0)
        return error;
    uint64_t entry = pv_paging_read(at);
    if (physical != NULL)
        *physical = entry & ADDRESS;
    if (flags != NULL)
        *flags = (entry & ENTRY_W ? PV_MAP_WRITE : 0) | (entry & ENTRY_USER ? PV_MAP_USER : 0) |
                 (entry & ENTRY_NX ? 0 : PV_MAP_EXECUTE) | (entry & ENTRY_ACCESSED ? PV_MAP_ACCESSED : 0) |
                 (entry & ENTRY_DIRTY ? PV_MAP_DIRTY : 0);
    return 0;
}
