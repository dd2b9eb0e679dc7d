/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A page table in a page that the host has mapped: what the host writes there holds after the next load of CR3. */
#include <pv/grant.h>
#include <pv/hypercall.h>
#include <pv/memory.h>
#include <pv/printf.h>

#define AT 0x0000009000000000ull
#define FRAME 0x000ffffffffff000ull

static uint64_t root(void)
{
    uint64_t cr3;
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    return cr3 & FRAME;
}

static void load_root(void)
{
    __asm__ volatile("mov %0, %%cr3" : : "r"(root()) : "memory");
}

/* The last-level table that maps an address. */
static uint64_t *table_of(uint64_t address)
{
    uint64_t *table = (uint64_t *)root();
    for (int shift = 39; shift > 12; shift -= 9)
        table = (uint64_t *)(table[address >> shift & 511] & FRAME);
    return table;
}

static void look(void)
{
    load_root();
    pv_printf("read %d\n", (int)*(volatile uint64_t *)AT);
}

int main(void)
{
    uint64_t *one = pv_page_alloc(), *two = pv_page_alloc();
    *one = 1;
    *two = 2;
    pv_page_map(pv_space_kernel(), AT, (uintptr_t)one, PV_MAP_WRITE);
    uint64_t *table = table_of(AT), *entry = &table[AT >> 12 & 511];
    look();
    pv_printf("map %d\n", (int)pv_grant_page(PV_DOMID_HOST, table, 0));
    look();
    pv_printf("entry %d %d\n", (int)((uintptr_t)entry & 4095), (int)((*entry & ~FRAME) | (uintptr_t)two));
    look();
    return 0;
}
