/* SPDX-License-Identifier: MIT */
/*
 * Pages of RAM. Fresh ones come from the ranges that the wing knows (ranges.h), one after the other; those that came back
 * are a list, each pointing to the next.
 */
#include <pv/memory.h>
#include <pv/string.h>

#include "ranges.h"

static uint64_t next, end; /* the rest of the range in hand */
static size_t n_ranges_begun;
static void **given_back;
static size_t n_given_back;

void *pv_page_alloc(void)
{
    void *page;
    if (given_back != NULL) {
        page = given_back;
        given_back = *given_back;
        n_given_back--;
    } else {
        while (next == end) {
            if (!pv_ram_range(n_ranges_begun, &next, &end))
                return NULL;
            n_ranges_begun++;
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
    for (size_t i = n_ranges_begun; pv_ram_range(i, &start, &stop); i++)
        n_pages += (stop - start) / PV_PAGE_SIZE;
    return n_pages;
}
