/* SPDX-License-Identifier: MIT */
/*
 * Four-level page tables, one to one, made by the kernel itself and changed by plain stores. Its twin finds such
 * tables at its start, made by the hypervisor, and changes them by hypercall. The entries hold real physical addresses, so a hypervisor that gives the guest a physical memory of its
 * own cannot let the CPU use these tables; it keeps shadows of them.
 */
#include <stdbool.h>

#include "entry.h"
#include "image.h"
#include "paging.h"

#define PAGE_BYTES  4096ull
#define LARGE_BYTES 0x200000ull

#define N_TABLES 32

static uint64_t tables[N_TABLES][N_ENTRIES] __attribute__((aligned(4096)));
static size_t n_tables_used;

static uint64_t *new_table(void)
{
    return n_tables_used < N_TABLES ? tables[n_tables_used++] : NULL;
}

/*
 * The entry that maps ADDRESS at LEVEL (1: a page, 2: a large page), with the tables above it made where they are
 * missing; NULL when no table is left, or when a large page is in the way.
 */
static uint64_t *entry_for(uint64_t address, int level)
{
    uint64_t *table = tables[0];
    for (int at = TOP_LEVEL;; at--) {
        uint64_t *entry = &table[(address >> (12 + 9 * (at - 1))) & (N_ENTRIES - 1)];
        if (at == level)
            return entry;
        if (*entry & ENTRY_LARGE)
            return NULL;
        if (!(*entry & ENTRY_P)) {
            uint64_t *fresh = new_table();
            if (fresh == NULL)
                return NULL;
            *entry = (uintptr_t)fresh | ENTRY_W | ENTRY_P;
        }
        table = (uint64_t *)(*entry & ENTRY_ADDRESS);
    }
}

/* Map [START, END), both on page boundaries, with large pages where whole ones fit. Returns the bytes mapped. */
static uint64_t map(uint64_t start, uint64_t end, uint64_t flags)
{
    uint64_t n_mapped = 0;
    while (start < end) {
        bool is_large = start % LARGE_BYTES == 0 && end - start >= LARGE_BYTES;
        uint64_t size = is_large ? LARGE_BYTES : PAGE_BYTES;
        uint64_t *entry = entry_for(start, is_large ? 2 : 1);
        if (entry != NULL) {
            *entry = start | flags | (is_large ? ENTRY_LARGE : 0) | ENTRY_P;
            n_mapped += size;
        }
        start += size;
    }
    return n_mapped;
}

static uint64_t map_free(uint64_t start, uint64_t end)
{
    return start < end ? map(start, end, ENTRY_W | ENTRY_NX) : 0;
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t at(const char *symbol)
{
    return (uintptr_t)symbol;
}

uint64_t pv_paging_start(const struct ram *ram, size_t n_ram)
{
    uint64_t *root = new_table();
    uint64_t n_mapped = at(__image_end) - at(__image_start);

    map(at(__text_start), at(__text_end), 0);
    map(at(__rodata_start), at(__rodata_end), ENTRY_NX);
    map(at(__data_start), at(__stack_guard), ENTRY_W | ENTRY_NX);
    map(at(__stack_bottom), at(__stack_top), ENTRY_W | ENTRY_NX);

    for (size_t i = 0; i < n_ram; i++) {
        uint64_t start = greater((ram[i].start + PAGE_BYTES - 1) & ENTRY_ADDRESS, PAGE_BYTES);
        uint64_t end = ram[i].end & ENTRY_ADDRESS;
        n_mapped += map_free(start, lesser(end, at(__image_start)));
        n_mapped += map_free(greater(start, at(__image_end)), end);
    }
    __asm__ volatile("movq %0, %%cr3" : : "r"(root) : "memory");
    return n_mapped;
}

uint64_t *pv_paging_root(void)
{
    return tables[0];
}

bool pv_paging_map_device(uint64_t address)
{
    return map(address, address + PAGE_BYTES, ENTRY_W | ENTRY_PCD | ENTRY_NX) != 0;
}
