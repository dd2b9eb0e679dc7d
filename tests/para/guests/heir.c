/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Maps the first page that domain 1 gives, and uses it when domain 1 has died: a frame lives while it is mapped. */
#include <pv/error.h>
#include <pv/grant.h>
#include <pv/hypercall.h>
#include <pv/memory.h>
#include <pv/printf.h>

#define AT   PV_SPACE_START
#define GREF 4096 /* the first of any domain */

int main(void)
{
    volatile uint64_t *page = (volatile uint64_t *)AT;
    static _Alignas(PV_PAGE_BYTES) uint64_t own[512];
    while (pv_grant_attach(pv_space_kernel(), AT, 1, GREF, 0) != 0)
        pv_yield();
    pv_printf("found %lu\n", *page);
    int64_t other;
    while ((other = pv_grant_map(1, GREF, PV_GRANT_READ_ONLY)) >= 0) {
        pv_grant_unmap((uint64_t)other);
        pv_yield();
    }
    pv_printf("gone: %d\n", (int)other);
    for (unsigned i = 0; i < 512; i++)
        page[i] = i;
    pv_printf("kept %lu\n", page[511]);
    struct pv_grant_copy_op op = {GREF, (uintptr_t)own, 1, 0, PV_DOMID_SELF, 0, 8, 0};
    int64_t n_tried = pv_grant_copy(&op, 1);
    pv_printf("copy: %d %u\n", (int)n_tried, op.status);
    pv_printf("detach: %d\n", pv_grant_detach(pv_space_kernel(), AT));
    return 0;
}
