/* SPDX-License-Identifier: MIT */
/*
 * Pages of RAM: what the hypervisor has left free below the kernel image and behind what it has put there for the start.
 * Pages that came back are a list, each pointing to the next.
 */
#include <stdbool.h>

#include <pv/memory.h>
#include <pv/string.h>

#include "paging.h"

static uint64_t next, end; /* the rest of the range in hand */
static size_t n_ranges_begun;
static void **given_back;
static size_t n_given_back;

/* Range INDEX of those that can be given away, or false when there are no more. Page 0 is never mapped. */
static bool range(size_t index, uint64_t *start_at, uint64_t *end_at)
{
    const struct pv_start_info *info = pv_info();
    *start_at = index == 0 ? PV_PAGE_SIZE : info->first_free;
    *end_at = index == 0 ? info->kernel_start / PV_PAGE_SIZE * PV_PAGE_SIZE : info->memory_bytes;
    return index < 2;
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
                next = end;
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
