/* SPDX-License-Identifier: MIT */
/*
 * Address spaces: four-level page tables, of which the first entry of the top one, the kernel's map of all memory, is
 * the same in all. A page's mapping may change after the CPU has looked it up, and then INVLPG has to say so; where
 * nothing was mapped before, there is nothing to forget. A space is its top-level table.
 */
#include <stdbool.h>

#include <pv/error.h>
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
    for (size_t i = 0; space != NULL && i < own_start; i++)
        space->entries[i] = pv_space_kernel()->entries[i];
    return space;
}

static uint64_t *table_of(uint64_t entry)
{
    return (uint64_t *)(entry & ADDRESS);
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
    free_tables(space->entries, own_start, own_end, TOP_LEVEL);
    pv_page_free(space);
    return 0;
}

void pv_space_switch(struct pv_space *space)
{
    current = space;
    __asm__ volatile("movq %0, %%cr3" : : "r"(space) : "memory");
}

void pv_space_flush(struct pv_space *space)
{
    if (space == pv_space_current())
        pv_space_switch(space); /* elsewhere the switch will do it */
}

static bool is_own(uint64_t address)
{
    return address % PV_PAGE_SIZE == 0 && address >= PV_SPACE_START && address < PV_SPACE_END;
}

/* The entry of a page; NULL where a table is missing, or with IS_MAPPED when it cannot be made. */
static uint64_t *entry_for(struct pv_space *space, uint64_t address, bool is_mapped)
{
    uint64_t *table = space->entries;
    for (int level = TOP_LEVEL; level > 1; level--) {
        uint64_t *entry = &table[index_at(address, level)];
        if (!(*entry & ENTRY_P)) {
            uint64_t *fresh = is_mapped ? pv_page_alloc() : NULL;
            if (fresh == NULL)
                return NULL;
            *entry = (uintptr_t)fresh | ENTRY_USER | ENTRY_W | ENTRY_P; /* the page's own entry decides */
        }
        table = table_of(*entry);
    }
    return &table[index_at(address, 1)];
}

static uint64_t entry_of(uint64_t physical, unsigned flags)
{
    return physical | ENTRY_P | (flags & PV_MAP_WRITE ? ENTRY_W : 0) | (flags & PV_MAP_USER ? ENTRY_USER : 0) |
           (flags & PV_MAP_EXECUTE ? 0 : ENTRY_NX);
}

/* Make the CPU forget a page whose entry has changed. */
static void forget(struct pv_space *space, uint64_t address, unsigned flags)
{
    if (!(flags & PV_MAP_LATER) && space == pv_space_current())
        __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

int pv_page_map(struct pv_space *space, uint64_t address, uint64_t physical, unsigned flags)
{
    if (!is_own(address) || physical & ~ADDRESS || flags & ~HOW)
        return -PV_EINVAL;
    uint64_t *entry = entry_for(space, address, true);
    if (entry == NULL)
        return -PV_ENOMEM;
    if (*entry & ENTRY_P)
        return -PV_EEXIST;
    *(volatile uint64_t *)entry = entry_of(physical, flags);
    return 0;
}

/* The entry of a page that is mapped: 0, -PV_EINVAL or -PV_ENOENT. */
static int find(struct pv_space *space, uint64_t address, uint64_t **found)
{
    if (!is_own(address))
        return -PV_EINVAL;
    *found = entry_for(space, address, false);
    return *found != NULL && **found & ENTRY_P ? 0 : -PV_ENOENT;
}

int pv_page_unmap(struct pv_space *space, uint64_t address, unsigned flags)
{
    uint64_t *entry;
    int error = flags & ~PV_MAP_LATER ? -PV_EINVAL : find(space, address, &entry);
    if (error != 0)
        return error;
    *(volatile uint64_t *)entry = 0;
    forget(space, address, flags);
    return 0;
}

int pv_page_protect(struct pv_space *space, uint64_t address, unsigned flags)
{
    uint64_t *entry;
    int error = flags & ~HOW ? -PV_EINVAL : find(space, address, &entry);
    if (error != 0)
        return error;
    *(volatile uint64_t *)entry = entry_of(*entry & ADDRESS, flags);
    forget(space, address, flags);
    return 0;
}

int pv_page_lookup(struct pv_space *space, uint64_t address, uint64_t *physical, unsigned *flags)
{
    uint64_t *at;
    int error = find(space, address, &at);
    if (error != 0)
        return error;
    uint64_t entry = *(volatile uint64_t *)at; /* the CPU sets bits in it */
    if (physical != NULL)
        *physical = entry & ADDRESS;
    if (flags != NULL)
        *flags = (entry & ENTRY_W ? PV_MAP_WRITE : 0) | (entry & ENTRY_USER ? PV_MAP_USER : 0) |
                 (entry & ENTRY_NX ? 0 : PV_MAP_EXECUTE) | (entry & ENTRY_ACCESSED ? PV_MAP_ACCESSED : 0) |
                 (entry & ENTRY_DIRTY ? PV_MAP_DIRTY : 0);
    return 0;
}
