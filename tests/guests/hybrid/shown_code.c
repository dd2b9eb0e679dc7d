/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code that has run, with an instruction that pvisor replaces in it, in a page that others may look at and write to. The
 * host maps it when it is told the grant's number; it looks at it, or writes to it, when it is told so.
 */
#include <pv/grant.h>
#include <pv/hypercall.h>
#include <pv/memory.h>
#include <pv/printf.h>
#include <pv/string.h>

#define AT 0x0000009000000000ull

/* pushf; pop rax; mov eax, 1; ret */
static const uint8_t code[] = {0x9c, 0x58, 0xb8, 1, 0, 0, 0, 0xc3};
static _Alignas(PV_PAGE_BYTES) uint8_t copy[PV_PAGE_BYTES];

static void run(void)
{
    pv_printf("ran %d\n", ((int (*)(void))AT)());
}

int main(void)
{
    uint8_t *page = pv_page_alloc();
    memcpy(page, code, sizeof code);
    pv_page_map(pv_space_kernel(), AT, (uintptr_t)page, PV_MAP_EXECUTE);
    int64_t to_write = pv_grant_page(PV_DOMID_HOST, page, 0);
    run();
    struct pv_grant_copy_op op = {(uintptr_t)page, (uintptr_t)copy, PV_DOMID_SELF, 0, PV_DOMID_SELF, 0, sizeof code, 0};
    pv_grant_copy(&op, 1);
    pv_printf("copied %x\n", copy[0]);
    run();
    pv_printf("written ");
    pv_console_write((const char *)page, 2);
    pv_printf("\n");
    pv_printf("map %d\n", (int)to_write);
    run();
    pv_printf("look\n");
    run();
    pv_printf("write\n");
    run();
    pv_printf("look\n");
    pv_printf("unmap\n");
    run();
    return 0;
}
