/* SPDX-License-Identifier: MIT */
/*
 * Memory: pages, and address spaces to map them in. Full and hybrid: the guest's own page tables. Para: the same
 * tables, changed by hypercall.
 *
 * The kernel sees all of its memory one to one: a page's address is its physical address. That map lies below
 * PV_SPACE_START and is the same in every space. From PV_SPACE_START to PV_SPACE_END each space has mappings of its
 * own.
 *
 * No function here waits. None may be called from an interrupt handler unless interrupts are disabled around all
 * others. Whoever changes page tables in another way, by hypercall or by stores of its own, flushes what it has changed
 * itself.
 */
#ifndef PV_MEMORY_H
#define PV_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#define PV_PAGE_SIZE   4096u
#define PV_SPACE_START 0x0000008000000000 /* first address of a space's own */
#define PV_SPACE_END   0x00007ffffffff000 /* first address after them */

/* A page of PV_PAGE_SIZE bytes, filled with zeros, for the kernel to read and write; NULL when none is left. */
void *pv_page_alloc(void);

/* Give back a PAGE that came from pv_page_alloc, is mapped in no space any more and is not granted. NULL: no effect. */
void pv_page_free(void *page);

/* How many pages pv_page_alloc has left. */
size_t pv_pages_left(void);

struct pv_space;

/* The space that main() starts in. It is always there. */
struct pv_space *pv_space_kernel(void);

/* A new space with no mappings of its own; NULL when no page is left. */
struct pv_space *pv_space_create(void);

/*
 * Free a space and its tables; the pages that are mapped in it stay what they are. Takes time in proportion to its
 * tables. Returns 0; -PV_EBUSY: it is the current one; -PV_EINVAL: it is the kernel's.
 */
int pv_space_destroy(struct pv_space *space);

/* See memory as SPACE maps it. The pending changes of PV_MAP_LATER in SPACE are in force from here on. */
void pv_space_switch(struct pv_space *space);

/* The space switched to last. */
struct pv_space *pv_space_current(void);

/* How a page is mapped. Every mapped page can be read. */
#define PV_MAP_WRITE    0x01u /* can be written */
#define PV_MAP_EXECUTE  0x02u /* can be executed; together with PV_MAP_WRITE it is slow under pvisor */
#define PV_MAP_USER     0x04u /* user programs can do so, too */
#define PV_MAP_LATER    0x08u /* the change may come into force later: see below */
#define PV_MAP_ACCESSED 0x10u /* answered by pv_page_lookup: it was used since it was mapped or protected */
#define PV_MAP_DIRTY    0x20u /* likewise: it was written */

/*
 * A change is in force when the function returns. With PV_MAP_LATER it is at the latest when pv_space_flush(SPACE), or
 * a pv_space_switch to SPACE, returns; until then the CPU sees the page as it was or as it will be, and any of several
 * changes before others. The functions here answer at once as if all had been made. Many changes that are put off cost
 * far less than as many made at once: para sends up to PV_TABLE_UPDATE_MAX of them in one hypercall, and in every mode
 * one flush stands for many. Pages that were not mapped before need none. Give a page back to pv_page_free only when
 * the change that took it away is in force.
 */

/*
 * Map the page at PHYSICAL, RAM that pv_page_alloc gave, to ADDRESS in SPACE.
 * Returns 0; -PV_EINVAL: an address that is not at the start of a page, ADDRESS outside the space's own, unknown FLAGS;
 * -PV_EEXIST: something is mapped there; -PV_ENOMEM: no page is left for a table. Para: what ENTRY_SET says of a page
 * that pv_page_alloc did not give; with PV_MAP_LATER such a page ends the guest as a crash.
 */
int pv_page_map(struct pv_space *space, uint64_t address, uint64_t physical, unsigned flags);

/*
 * Take the page at ADDRESS away. FLAGS: 0 or PV_MAP_LATER.
 * Returns 0; -PV_EINVAL as for pv_page_map; -PV_ENOENT: nothing is mapped there.
 */
int pv_page_unmap(struct pv_space *space, uint64_t address, unsigned flags);

/*
 * Map the page at ADDRESS in another way: the same page, with FLAGS as for pv_page_map in place of those it had.
 * Returns 0; -PV_EINVAL as for pv_page_map; -PV_ENOENT: nothing is mapped there.
 */
int pv_page_protect(struct pv_space *space, uint64_t address, unsigned flags);

/*
 * How is ADDRESS mapped in SPACE? Stores the page's physical address and its flags where the pointers are not NULL.
 * Returns 0; -PV_EINVAL as for pv_page_map; -PV_ENOENT: nothing is mapped there.
 */
int pv_page_lookup(struct pv_space *space, uint64_t address, uint64_t *physical, unsigned *flags);

/* Bring all pending changes of PV_MAP_LATER in SPACE into force. Costs next to nothing when there are none. */
void pv_space_flush(struct pv_space *space);

#endif /* PV_MEMORY_H */
