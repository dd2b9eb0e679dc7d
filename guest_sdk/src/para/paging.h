/* SPDX-License-Identifier: MIT */
/* The guest's page tables: it reads them where they lie, and changes them by hypercall. */
#ifndef PV_SRC_PAGING_H
#define PV_SRC_PAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pv/abi.h>

#define N_PLACES 1024

/*
 * Changes that are still to be sent, at most one of an entry. PLACES says where to look for it, by a part of the entry's
 * address. It is never cleared: what it says holds if the change at that place is of that entry.
 */
struct pv_paging_queue {
    struct pv_entry_update updates[PV_TABLE_UPDATE_MAX];
    uint32_t n;
    uint16_t places[N_PLACES];
};

extern struct pv_paging_queue pv_paging_queue;

static inline uint16_t *pv_paging_place(const uint64_t *entry)
{
    return &pv_paging_queue.places[(uintptr_t)entry / sizeof *entry % N_PLACES];
}

/* The change of an entry that is queued, or NULL. */
static inline struct pv_entry_update *pv_paging_find(const uint64_t *entry)
{
    uint32_t place = *pv_paging_place(entry);
    struct pv_entry_update *update = &pv_paging_queue.updates[place];
    return place < pv_paging_queue.n && update->gpa == (uintptr_t)entry ? update : NULL;
}

/* Send what is queued, if there is no place for a change of this entry. */
void pv_paging_make_place(const uint64_t *entry);

/* An entry as it is, or will be once all that is queued has been sent. */
static inline uint64_t pv_paging_read(const uint64_t *entry)
{
    const struct pv_entry_update *queued = pv_paging_find(entry);
    return queued != NULL ? queued->entry : *(const volatile uint64_t *)entry; /* the CPU sets bits in it */
}

/* Change an entry later: at the latest when pv_paging_send is called. Short, for it is called in long rows. */
static inline void pv_paging_put(const uint64_t *entry, uint64_t value)
{
    struct pv_entry_update *queued = pv_paging_find(entry);
    if (queued != NULL) {
        queued->entry = value;
        return;
    }
    if (*pv_paging_place(entry) < pv_paging_queue.n || pv_paging_queue.n == PV_TABLE_UPDATE_MAX)
        pv_paging_make_place(entry);
    *pv_paging_place(entry) = (uint16_t)pv_paging_queue.n;
    pv_paging_queue.updates[pv_paging_queue.n++] = (struct pv_entry_update){(uintptr_t)entry, value};
}

/* Send what is queued. FORGETS: the CPU forgets all translations. */
void pv_paging_send(bool forgets);

/* Change an entry at once, and make the CPU forget ADDRESS unless that is 0. 0, or a negative error. */
int pv_paging_write(const uint64_t *entry, uint64_t value, uint64_t address);

/*
 * Turn a page of the one-to-one map, filled with zeros, into a table that the entry PARENT names with FLAGS; NULL: into
 * a top-level one, which is pinned. 0, or a negative error.
 */
int pv_paging_add_table(uint64_t *page, const uint64_t *parent, uint64_t flags);

/* Make a top-level table that nothing uses, and all tables below its entries FIRST to LAST, plain pages again. */
void pv_paging_remove_root(uint64_t *root, size_t first, size_t last);

/* What the hypervisor told at the start; start.c keeps it. */
const struct pv_start_info *pv_info(void);

/* The top-level table that the guest has started with. */
uint64_t *pv_paging_root(void);

#endif /* PV_SRC_PAGING_H */
