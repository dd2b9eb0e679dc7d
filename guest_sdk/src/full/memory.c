/* SPDX-License-Identifier: MIT */
/*
 * Where there is RAM to give away: the memory map says it. What the kernel image occupies is left out, and the first
 * MiB, where a PC's firmware keeps its tables.
 */
#include <pv/memory.h>

#include "image.h"
#include "paging.h"
#include "ranges.h"

#define LOWEST 0x100000u

static uint64_t at(const char *symbol)
{
    return (uintptr_t)symbol;
}

/* The image lies inside one range of RAM, so each range counts as two: what is below the image, and what is above. */
bool pv_ram_range(size_t index, uint64_t *start_at, uint64_t *end_at)
{
    size_t n_ram;
    const struct ram *ram = pv_ram(&n_ram);
    if (index / 2 >= n_ram)
        return false;
    uint64_t low = index % 2 == 0 ? LOWEST : at(__image_end);
    uint64_t high = index % 2 == 0 ? at(__image_start) : ~(uint64_t)0;
    uint64_t start = ram[index / 2].start, stop = ram[index / 2].end;
    start = ((start > low ? start : low) + PV_PAGE_SIZE - 1) / PV_PAGE_SIZE * PV_PAGE_SIZE;
    stop = (stop < high ? stop : high) / PV_PAGE_SIZE * PV_PAGE_SIZE;
    *start_at = start;
    *end_at = stop > start ? stop : start;
    return true;
}
