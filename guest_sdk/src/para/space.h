/* SPDX-License-Identifier: MIT */
/*
 * Page tables under a hypervisor that lets the CPU use them: they are read where they lie, and an entry is changed by a
 * hypercall, of which INVLPG is part. Changes that may come later are queued and sent together (paging.h).
 */
#ifndef PV_SRC_SPACE_H
#define PV_SRC_SPACE_H

#include <pv/hypercall.h>

#include "paging.h"

/*
 * So many pages are forgotten one by one, with a call for each. To forget everything is part of the call that sends the
 * changes, but then each page that is in use costs the CPU a walk of the tables.
 */
#define SPACE_FEW 4

static inline uint64_t space_read(const uint64_t *entry)
{
    return pv_paging_read(entry);
}

/* Change an entry, and make the CPU forget the page at ADDRESS unless that is 0. Returns 0, or a negative error. */
static inline int space_write(uint64_t *entry, uint64_t value, uint64_t address)
{
    return pv_paging_write(entry, value, address);
}

static inline int space_write_later(uint64_t *entry, uint64_t value)
{
    pv_paging_put(entry, value);
    return 0;
}

/* Let the CPU use the tables below ROOT; it forgets all others. */
static inline void space_load(const uint64_t *root)
{
    pv_paging_send(false);
    pv_root_set((uintptr_t)root, 0);
}

/*
 * Changes that could come later come now. N PAGES have lost something by them; the CPU, which uses ROOT if N is not 0,
 * forgets them.
 */
static inline void space_send(const uint64_t *root, const uint64_t *pages, unsigned n)
{
    (void)root;
    pv_paging_send(n > SPACE_FEW);
    for (unsigned i = 0; n <= SPACE_FEW && i < n; i++)
        pv_tlb_flush(PV_FLUSH_PAGE, pages[i]);
}

/* Turn a page filled with zeros into a table, named by the entry PARENT with FLAGS. */
static inline void space_add_table(uint64_t *page, uint64_t *parent, uint64_t flags)
{
    pv_paging_add_table(page, parent, flags);
}

/* Turn a page into a top-level table. Returns 0, or a negative error. */
static inline int space_add_root(uint64_t *root)
{
    return pv_paging_add_table(root, NULL, 0);
}

/* A top-level table, which no CPU uses, and all tables below its entries FIRST to LAST are no tables any more. */
static inline void space_remove_root(uint64_t *root, size_t first, size_t last)
{
    pv_paging_remove_root(root, first, last);
}

#endif /* PV_SRC_SPACE_H */
