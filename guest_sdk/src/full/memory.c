/* SPDX-License-Identifier: MIT */
/*
 * Pages of RAM. The memory map says where they are; what the kernel image occupies is left out, and the first MiB, where
 * a PC's firmware keeps its tables. Pages that came back are a list, each pointing to the next.
 */
#include <stdbool.h>

#include <pv/memory.h>
#include <pv/string.h>

#include "image.h"
#include "paging.h"

#define LOWEST 0x100000u

static uint64_t next, end; /* the rest of the range in hand */
static size_t n_ranges_begun;
static void **given_back;
static size_t n_given_back;

static uint64_t at(const char *symbol)
{
    return (uintptr_t)symbol;
}

/*
 * Range INDEX of those that can be given away, or false when there are no more. The image lies inside one range of RAM,
 * so each range counts as two: what is below the image, and what is above.
 */
static bool range(size_t index, uint64_t *start_at, uint64_t *end_at)
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

void *pv_page_alloc(void)
{
    void *page;
    if (given_back != NULL) {
        page = given_back;
        given_back = *given_back;
        n_given_back--;
    } else {
        while (next == end)
            if (!range(n_ranges_begun++, &next, &end)) {
                n_ranges_begun--;
                return NULL;
            }
        page = (void *)next;
        next += PV_PAGE_SIZE;
    }
    return memset(page, 0, PV_PAGE_SIZE);
}

void pv_page_free(void *page)
{
    if (page == NULL)
        return;
    *(void **)page = given_back;
    given_back = page;
    n_given_back++;
}

size_t pv_pages_left(void)
{
    uint64_t start, stop;
    size_t n_pages = n_given_back + (end - next) / PV_PAGE_SIZE;
    for (size_t i = n_ranges_begun; range(i, &start, &stop); i++)
        n_pages += (stop - start) / PV_PAGE_SIZE;
    return n_pages;
}
