/* SPDX-License-Identifier: MIT */
/*
 * Address spaces: four-level page tables, of which the first entry of the top one, the kernel's map of all memory, is
 * the same in all. The CPU walks these very tables in both wings; how an entry is changed, and how the CPU is made to
 * forget what it has looked up, is the wing's (space.h). A space is its top-level table.
 *
 * Where nothing was mapped there is nothing to forget: no CPU remembers an entry without its P bit (SDM 3A, 4.10.4.3). So
 * only a change that takes something away costs a flush: of its page, or of all where many pages have lost something.
 */
#include <stdbool.h>

#include <pv/error.h>
#include <pv/memory.h>

#include "entry.h"
#include "paging.h"
#include "space.h"

#define TABLE_SHIFT 21 /* a last-level table maps so many bits */

#define HOW (PV_MAP_WRITE | PV_MAP_EXECUTE | PV_MAP_USER | PV_MAP_LATER)

/* Called in long rows. The linker script puts them side by side, so that none of them lies across a page boundary. */
#define HOT __attribute__((hot))

struct pv_space {
    uint64_t entries[N_ENTRIES];
};

static struct pv_space *current;

/*
 * Pages of the current space from which a change that may come later has taken something away: the CPU may remember it.
 * With SPACE_FEW + 1 it was more than are noted.
 */
static struct {
    uint64_t pages[SPACE_FEW];
    unsigned n;
} lost;

/* The last-level table that was used last, and what it is for: most changes come side by side. */
static struct {
    const struct pv_space *space;
    uint64_t number; /* of the table, among those of the space */
    uint64_t *entries;
    bool is_current; /* the CPU uses that space */
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
    return space_add_root(space->entries) == 0 ? space : NULL; /* no wing refuses a table such as this */
}

static void free_tables(uint64_t *entries, size_t first, size_t last, int level)
{
    for (size_t i = first; level > 1 && i < last; i++)
        if (entries[i] & ENTRY_P) {
            uint64_t *below = (uint64_t *)(entries[i] & ENTRY_ADDRESS);
            free_tables(below, 0, N_ENTRIES, level - 1);
            pv_page_free(below);
        }
}

int pv_space_destroy(struct pv_space *space)
{
    if (space == pv_space_kernel())
        return -PV_EINVAL;
    if (space == pv_space_current())
        return -PV_EBUSY;
    recent.space = NULL;
    space_remove_root(space->entries, own_start, own_end);
    free_tables(space->entries, own_start, own_end, TOP_LEVEL);
    pv_page_free(space);
    return 0;
}

/* A new root makes the CPU forget all that it knew. */
void pv_space_switch(struct pv_space *space)
{
    recent.space = NULL;
    lost.n = 0;
    current = space;
    space_load(space->entries);
}

void pv_space_flush(struct pv_space *space)
{
    bool is_current = space == pv_space_current(); /* elsewhere the switch will do the rest */
    space_send(space->entries, lost.pages, is_current ? lost.n : 0);
    lost.n = is_current ? 0 : lost.n;
}

static bool is_own(uint64_t address)
{
    return address % PV_PAGE_SIZE == 0 && address >= PV_SPACE_START && address < PV_SPACE_END;
}

/* Find the last-level table for ADDRESS, and remember it. False: a table is missing, or with MAKES cannot be made. */
static __attribute__((noinline)) bool walk(struct pv_space *space, uint64_t address, bool makes)
{
    uint64_t *table = space->entries;
    for (int level = TOP_LEVEL; level > 1; level--) {
        uint64_t *entry = &table[index_at(address, level)];
        if (!(*entry & ENTRY_P)) {
            uint64_t *fresh = makes ? pv_page_alloc() : NULL;
            if (fresh == NULL)
                return false;
            space_add_table(fresh, entry, ENTRY_USER | ENTRY_W | ENTRY_P); /* the page's own entry decides */
        }
        table = (uint64_t *)(*(volatile uint64_t *)entry & ENTRY_ADDRESS);
    }
    recent.space = space;
    recent.number = address >> TABLE_SHIFT;
    recent.entries = table;
    recent.is_current = space == pv_space_current();
    return true;
}

/* The entry of a page, in the recent table; NULL where a table is missing, or with MAKES when it cannot be made. */
static inline uint64_t *entry_for(struct pv_space *space, uint64_t address, bool makes)
{
    bool is_other = (recent.space != space) | (recent.number != address >> TABLE_SHIFT); /* one branch for both */
    return is_other && !walk(space, address, makes) ? NULL : &recent.entries[index_at(address, 1)];
}

static inline uint64_t entry_of(uint64_t physical, unsigned flags)
{
    return physical | ENTRY_P | (flags & PV_MAP_WRITE ? ENTRY_W : 0) | (flags & PV_MAP_USER ? ENTRY_USER : 0) |
           (flags & PV_MAP_EXECUTE ? 0 : ENTRY_NX);
}

HOT int pv_page_map(struct pv_space *space, uint64_t address, uint64_t physical, unsigned flags)
{
    if (!is_own(address) || physical & ~ENTRY_ADDRESS || flags & ~HOW)
        return -PV_EINVAL;
    uint64_t *entry = entry_for(space, address, true);
    if (entry == NULL)
        return -PV_ENOMEM;
    if (space_read(entry) & ENTRY_P)
        return -PV_EEXIST;
    if (flags & PV_MAP_LATER)
        return space_write_later(entry, entry_of(physical, flags));
    bool may_be_known = lost.n != 0 && recent.is_current; /* as it was before it was taken away, which may come later */
    return space_write(entry, entry_of(physical, flags), may_be_known ? address : 0);
}

static __attribute__((noinline)) void note_loss(uint64_t address)
{
    if (lost.n < SPACE_FEW)
        lost.pages[lost.n] = address;
    lost.n++;
}

/*
 * Change the entry of a page that is mapped, to FIXED and what is KEPT of it. Errors as of pv_page_protect. Inlined
 * whatever the compiler thinks: kernels take pages away in long rows.
 */
static inline __attribute__((always_inline)) int
change(struct pv_space *space, uint64_t address, uint64_t kept, uint64_t fixed, bool is_later)
{
    if (!is_own(address))
        return -PV_EINVAL;
    uint64_t *entry = entry_for(space, address, false);
    uint64_t before = entry != NULL ? space_read(entry) : 0;
    if (!(before & ENTRY_P))
        return -PV_ENOENT;
    if (is_later) {
        if (recent.is_current && lost.n <= SPACE_FEW)
            note_loss(address);
        return space_write_later(entry, (before & kept) | fixed);
    }
    return space_write(entry, (before & kept) | fixed, recent.is_current ? address : 0);
}

HOT int pv_page_unmap(struct pv_space *space, uint64_t address, unsigned flags)
{
    return flags & ~PV_MAP_LATER ? -PV_EINVAL : change(space, address, 0, 0, flags != 0);
}

HOT int pv_page_protect(struct pv_space *space, uint64_t address, unsigned flags)
{
    bool is_later = flags & PV_MAP_LATER;
    return flags & ~HOW ? -PV_EINVAL : change(space, address, ENTRY_ADDRESS, entry_of(0, flags), is_later);
}

int pv_page_lookup(struct pv_space *space, uint64_t address, uint64_t *physical, unsigned *flags)
{
    if (!is_own(address))
        return -PV_EINVAL;
    uint64_t *at = entry_for(space, address, false);
    uint64_t entry = at != NULL ? space_read(at) : 0;
    if (!(entry & ENTRY_P))
        return -PV_ENOENT;
    if (physical != NULL)
        *physical = entry & ENTRY_ADDRESS;
    if (flags != NULL)
        *flags = (entry & ENTRY_W ? PV_MAP_WRITE : 0) | (entry & ENTRY_USER ? PV_MAP_USER : 0) |
                 (entry & ENTRY_NX ? 0 : PV_MAP_EXECUTE) | (entry & ENTRY_ACCESSED ? PV_MAP_ACCESSED : 0) |
                 (entry & ENTRY_DIRTY ? PV_MAP_DIRTY : 0);
    return 0;
}
