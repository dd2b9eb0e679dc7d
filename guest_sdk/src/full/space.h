/* SPDX-License-Identifier: MIT */
/*
 * Page tables as the CPU has them: an entry is changed by a store, and INVLPG or a load of CR3 makes the CPU forget what
 * it has looked up. A store costs nothing to speak of, so a change that may come later is made at once: what is put
 * off is the flush.
 */
#ifndef PV_SRC_SPACE_H
#define PV_SRC_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * So many pages are forgotten one by one, by INVLPG. A load of CR3 makes the CPU forget everything, and each page that is
 * in use costs a walk of the tables then (under shadow paging: an exit).
 */
#define SPACE_FEW 16

static inline uint64_t space_read(const uint64_t *entry)
{
    return *(const volatile uint64_t *)entry; /* the CPU sets bits in it */
}

static inline void space_forget(uint64_t address)
{
    __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

/* Change an entry, and make the CPU forget the page at ADDRESS unless that is 0. Returns 0. */
static inline int space_write(uint64_t *entry, uint64_t value, uint64_t address)
{
    *(volatile uint64_t *)entry = value;
    if (address != 0)
        space_forget(address);
    return 0;
}

static inline int space_write_later(uint64_t *entry, uint64_t value)
{
    return space_write(entry, value, 0);
}

/* Let the CPU use the tables below ROOT; it forgets all others. */
static inline void space_load(const uint64_t *root)
{
    __asm__ volatile("movq %0, %%cr3" : : "r"(root) : "memory");
}

/*
 * Changes that could come later have come. N PAGES have lost something by them; the CPU, which uses ROOT if N is not 0,
 * forgets them.
 */
static inline void space_send(const uint64_t *root, const uint64_t *pages, unsigned n)
{
    if (n > SPACE_FEW)
        space_load(root);
    else
        for (unsigned i = 0; i < n; i++)
            space_forget(pages[i]);
}

/* Turn a page filled with zeros into a table, named by the entry PARENT with FLAGS. */
static inline void space_add_table(uint64_t *page, uint64_t *parent, uint64_t flags)
{
    *(volatile uint64_t *)parent = (uintptr_t)page | flags;
}

/* Turn a page into a top-level table. Returns 0. */
static inline int space_add_root(const uint64_t *root)
{
    (void)root;
    return 0;
}

/* A top-level table, which no CPU uses, and all tables below its entries FIRST to LAST are no tables any more. */
static inline void space_remove_root(uint64_t *root, size_t first, size_t last)
{
    (void)root, (void)first, (void)last;
}

#endif /* PV_SRC_SPACE_H */
