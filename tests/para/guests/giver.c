/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gives a page to domain 2, and ends as soon as it is mapped there. */
#include <pv/grant.h>
#include <pv/hypercall.h>
#include <pv/memory.h>
#include <pv/printf.h>

int main(void)
{
    uint64_t *page = pv_page_alloc();
    struct pv_grant_info info = {0};
    *page = 1;
    int64_t gref = pv_grant_page(2, page, 0);
    while (pv_grant_status((uint32_t)gref, &info) == 0 && info.n_writers == 0)
        pv_yield();
    pv_printf("mapped\n");
    return 0;
}
