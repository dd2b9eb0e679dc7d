/* SPDX-License-Identifier: MIT */
/*
 * Where there is RAM to give away: what the hypervisor has left free below the kernel image, and behind what it has put
 * there for the start. Page 0 is never mapped.
 */
#include <pv/memory.h>

#include "paging.h"
#include "ranges.h"

bool pv_ram_range(size_t index, uint64_t *start, uint64_t *end)
{
    const struct pv_start_info *info = pv_info();
    if (index >= 2)
        return false;
    *start = index == 0 ? PV_PAGE_SIZE : info->first_free;
    *end = index == 0 ? info->kernel_start / PV_PAGE_SIZE * PV_PAGE_SIZE : info->memory_bytes;
    return true;
}
