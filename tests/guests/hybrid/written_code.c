/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Code that was run is overwritten by a copy, as a disk would do it: what is there now runs, at the old mapping too. */
#include <pv/grant.h>
#include <pv/memory.h>
#include <pv/printf.h>
#include <pv/string.h>

#define AT 0x0000009000000000ull

static _Alignas(PV_PAGE_BYTES) uint8_t source[PV_PAGE_BYTES];
/* mov eax, 1; ret */
static uint8_t code[] = {0xb8, 1, 0, 0, 0, 0xc3};

static void map(void *page)
{
    pv_page_map(pv_space_kernel(), AT, (uintptr_t)page, PV_MAP_EXECUTE);
}

static void run(void)
{
    pv_printf("%d\n", ((int (*)(void))AT)());
}

static void copy_to(void *page, uint8_t answer)
{
    code[1] = answer;
    memcpy(source, code, sizeof code);
    struct pv_grant_copy_op op = {(uintptr_t)source, (uintptr_t)page, PV_DOMID_SELF, 0, PV_DOMID_SELF, 0, 64, 0};
    int64_t n_tried = pv_grant_copy(&op, 1);
    pv_printf("copied: %d %u\n", (int)n_tried, op.status);
}

int main(void)
{
    uint8_t *page = pv_page_alloc();
    memcpy(page, code, sizeof code);
    map(page);
    run();
    run();
    copy_to(page, 2);
    run();
    pv_page_unmap(pv_space_kernel(), AT, 0);
    copy_to(page, 3);
    map(page);
    run();
    return 0;
}
