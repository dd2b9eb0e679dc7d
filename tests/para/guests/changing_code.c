/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Code that changes where the CPU cannot see it: each way once, with what the code then says. */
#include <stdbool.h>

#include <pv/hypercall.h>
#include <pv/memory.h>
#include <pv/printf.h>

#define CODE  PV_SPACE_START
#define OTHER (PV_SPACE_START + 0x40000000)

typedef unsigned function(void);

static uint8_t *page, *next_page;

/* mov $value, %eax; ret */
static void put(uint8_t *at, unsigned value)
{
    const uint8_t code[6] = {0xb8, (uint8_t)value, (uint8_t)(value >> 8), 0, 0, 0xc3};
    for (unsigned i = 0; i < sizeof code; i++)
        ((volatile uint8_t *)at)[i] = code[i];
}

static unsigned run(uint64_t address)
{
    return ((function *)address)();
}

static void map(uint64_t address, const uint8_t *physical, unsigned flags)
{
    if (pv_page_map(pv_space_kernel(), address, (uintptr_t)physical, flags) != 0)
        pv_printf("cannot map\n");
}

static void unmap(uint64_t address)
{
    pv_page_unmap(pv_space_kernel(), address, 0);
}

/* The code is seen after each change? */
static unsigned through_an_alias(uint8_t *at, uint64_t address, unsigned n)
{
    unsigned n_right = 0;
    for (unsigned i = 0; i < n; i++) {
        put(at, i);
        n_right += run(address) == i;
    }
    return n_right;
}

static void again_after_writing(void)
{
    map(CODE, page, PV_MAP_EXECUTE);
    pv_entry_set((uintptr_t)page, (uintptr_t)page | 1 | 1ull << 63, PV_FLUSH_PAGE); /* W^X */
    pv_printf("first %u\n", run(CODE));
    unmap(CODE);
    pv_entry_set((uintptr_t)page, (uintptr_t)page | 3 | 1ull << 63, 0);
    put(page, 500);
    pv_entry_set((uintptr_t)page, (uintptr_t)page | 1 | 1ull << 63, PV_FLUSH_PAGE);
    map(OTHER, page, PV_MAP_EXECUTE);
    pv_printf("elsewhere %u\n", run(OTHER));
    map(CODE, page, PV_MAP_EXECUTE);
    pv_printf("again %u\n", run(CODE));
    unmap(CODE);
    unmap(OTHER);
    pv_entry_set((uintptr_t)page, (uintptr_t)page | 3 | 1ull << 63, 0);
}

static void another_frame(void)
{
    put(next_page, 700);
    map(CODE, page, PV_MAP_EXECUTE);
    unsigned before = run(CODE);
    pv_entry_set(CODE, (uintptr_t)next_page | 1, PV_FLUSH_PAGE);
    pv_printf("another frame: %u, %u\n", before, run(CODE));
    unmap(CODE);
}

/* Stores through the page that runs. */
static void own_page(void)
{
    map(CODE, page, PV_MAP_EXECUTE | PV_MAP_WRITE);
    pv_printf("its own page: %u of 200\n", through_an_alias((uint8_t *)CODE, CODE, 200));
    unmap(CODE);
}

/* A block that begins in one page and ends in the next. */
static void across_two_pages(void)
{
    map(CODE, page, PV_MAP_EXECUTE);
    map(CODE + 4096, next_page, PV_MAP_EXECUTE);
    unsigned n_right = 0;
    page[4094] = 0xb8;
    next_page[1] = next_page[2] = 0;
    next_page[3] = 0xc3;
    for (unsigned i = 0; i < 200; i++) {
        ((volatile uint8_t *)page)[4095] = (uint8_t)i;
        ((volatile uint8_t *)next_page)[0] = (uint8_t)(i * 7);
        n_right += run(CODE + 4094) == (i | (i * 7 & 255) << 8);
    }
    pv_printf("across two pages: %u of 200\n", n_right);
    unmap(CODE);
    unmap(CODE + 4096);
}

static void by_the_host(void)
{
    map(CODE, page, PV_MAP_EXECUTE);
    put(page, 1);
    unsigned before = run(CODE);
    int64_t n;
    while ((n = pv_console_read(page, 6)) == 0)
        pv_yield();
    pv_printf("by the host: %u, then %ld bytes: %u\n", before, (long)n, run(CODE));
    unmap(CODE);
}

/* A table may be executable as well. Its entries are changed by the hypervisor. */
static void in_a_table(void)
{
    map(CODE, page, PV_MAP_EXECUTE);
    for (unsigned i = 0; i < 4096; i++)
        page[i] = 0;
    pv_entry_set((uintptr_t)page, (uintptr_t)page | 1 | 1ull << 63, PV_FLUSH_PAGE);
    pv_table_pin((uintptr_t)page, 1);
    for (unsigned value = 2; value <= 4; value += 2) { /* 0xb0: not present */
        const uint64_t code = 0xc30000 | value << 8 | 0xb0; /* mov $value, %al; ret */
        const struct pv_entry_update update = {(uintptr_t)page, code};
        pv_table_update(&update, 1, 0);
        pv_printf("in a table: %u\n", run(CODE) & 255);
    }
    unmap(CODE);
    pv_table_unpin((uintptr_t)page);
    pv_entry_set((uintptr_t)page, (uintptr_t)page | 3 | 1ull << 63, 0);
}

int main(void)
{
    page = pv_page_alloc();
    next_page = pv_page_alloc();
    put(page, 400);
    again_after_writing();
    another_frame();
    map(CODE, page, PV_MAP_EXECUTE);
    pv_printf("through another address: %u of 1000\n", through_an_alias(page, CODE, 1000));
    pv_printf("not from the page's start: %u of 1000\n", through_an_alias(page + 777, CODE + 777, 1000));
    unmap(CODE);
    own_page();
    across_two_pages();
    by_the_host();
    in_a_table();
    return 0;
}
