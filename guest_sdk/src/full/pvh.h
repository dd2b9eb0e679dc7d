/* SPDX-License-Identifier: MIT */
/* What a PVH loader hands over: physical addresses, all little-endian. */
#ifndef PV_SRC_PVH_H
#define PV_SRC_PVH_H

#include <stdint.h>

#define PVH_START_MAGIC 0x336ec578

#define PVH_MEMORY_RAM 1 /* pvh_memory.type: memory that the kernel may use */

struct pvh_start_info {
    uint32_t magic;   /* PVH_START_MAGIC */
    uint32_t version; /* the memory map is there from version 1 on */
    uint32_t flags;
    uint32_t n_modules;
    uint64_t modules;
    uint64_t cmdline; /* ended by NUL; 0: none */
    uint64_t rsdp;
    uint64_t memory_map;
    uint32_t n_memory_map;
    uint32_t reserved;
};

struct pvh_memory {
    uint64_t start;
    uint64_t size_bytes;
    uint32_t type;
    uint32_t reserved;
};

#endif /* PV_SRC_PVH_H */
