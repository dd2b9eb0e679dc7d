/* SPDX-License-Identifier: MIT */
/* The guest's page tables: it reads them where they lie, and changes them by hypercall. */
#ifndef PV_SRC_PAGING_H
#define PV_SRC_PAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pv/abi.h>

/* What the hypervisor told at the start; start.c keeps it. */
const struct pv_start_info *pv_info(void);

/* The top-level table that the guest has started with. */
uint64_t *pv_paging_root(void);

/* An entry as it is, or will be once all that is queued has been sent. */
uint64_t pv_paging_read(const uint64_t *entry);

/* Change an entry later: at the latest when pv_paging_send is called. LOSES: some right is taken away. */
void pv_paging_queue(const uint64_t *entry, uint64_t value, bool loses);

/* Send what is queued. IS_SEEN: the translations that have lost something are forgotten. */
void pv_paging_send(bool is_seen);

/* Change an entry at once, and make the CPU forget ADDRESS unless that is 0. 0, or a negative error. */
int pv_paging_write(const uint64_t *entry, uint64_t value, uint64_t address);

/*
 * Turn a page of the one-to-one map, filled with zeros, into a table that the entry PARENT names with FLAGS; NULL: into
 * a top-level one, which is pinned. 0, or a negative error.
 */
int pv_paging_add_table(uint64_t *page, const uint64_t *parent, uint64_t flags);

/* Queue that a table which nothing uses any more can be written to again. */
void pv_paging_queue_plain(uint64_t *table);

#endif /* PV_SRC_PAGING_H */
