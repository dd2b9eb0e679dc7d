/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads a thousand pages over and over. Before each round a page-table entry of another page changes and CR3 is
 * loaded, so that nothing is left of the address space's shadow and each read has to fill its entry.
 */
#include <stdint.h>

#include <pv/memory.h>
#include <pv/start.h>

#include "../guests/arguments.h"

#define FIRST 0x1000000ul /* far above the image */
#define N_PAGES 1000ul
#define OTHER PV_SPACE_START

int main(void)
{
    struct pv_space *space = pv_space_create();
    void *page = pv_page_alloc();
    if (!space || !page || pv_page_map(space, OTHER, (uint64_t)page, 0))
        return 1;
    pv_space_switch(space);
    for (unsigned long n = argument(0, 1000), round = 0; n; n = n > N_PAGES ? n - N_PAGES : 0, round++) {
        if (pv_page_protect(space, OTHER, round & 1 ? 0 : PV_MAP_WRITE))
            return 2;
        pv_space_switch(space); /* which loads CR3 */
        (void)*(volatile uint8_t *)OTHER; /* its table is one that the shadow was made from */
        for (unsigned long i = 0; i < N_PAGES; i++)
            *(volatile uint8_t *)(FIRST + i * 4096);
    }
    return 0;
}
