/* SPDX-License-Identifier: MIT */
/* The guest's own page tables. */
#ifndef PV_SRC_PAGING_H
#define PV_SRC_PAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ram {
    uint64_t start;
    uint64_t end;
};

/*
 * Map the N_RAM ranges of RAM and the kernel one to one, each page writable or executable but never both, leave out
 * page 0 and the page below the stack, and load CR3. Returns how many bytes of RAM are mapped: all, unless the tables
 * run out, which takes more than 20 GiB.
 */
uint64_t pv_paging_start(const struct ram *ram, size_t n_ram);

/* The top-level table that pv_paging_start has made. */
uint64_t *pv_paging_root(void);

/* Map a device's page one to one. False: the tables have run out. */
bool pv_paging_map_device(uint64_t address);

/* The RAM that the loader has told of, as given to pv_paging_start; start.c keeps it. */
const struct ram *pv_ram(size_t *n_ram);

#endif /* PV_SRC_PAGING_H */
