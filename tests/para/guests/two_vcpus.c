/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What one virtual CPU does to pages that another uses: changed code, changed entries, flushes. */
#include <pv/hypercall.h>
#include <pv/memory.h>
#include <pv/printf.h>

#define CODE PV_SPACE_START
#define DATA (PV_SPACE_START + 0x200000)
#define NX   0x8000000000000000ull

enum order { NOTHING, WRITE_CODE, REMAP, REMAP_LATER, FLUSH };

static uint8_t *page;
static uint64_t *one, *two;
static volatile uint64_t order, value;
static char stack[8192] __attribute__((aligned(16)));

/* mov $value, %eax; ret */
static void put(volatile uint8_t *at, uint64_t number)
{
    const uint8_t code[6] = {0xb8, (uint8_t)number, (uint8_t)(number >> 8), 0, 0, 0xc3};
    for (unsigned i = 0; i < sizeof code; i++)
        at[i] = code[i];
}

static void obey(void)
{
    switch (order) {
    case WRITE_CODE: put(page, value); break;
    case REMAP: pv_entry_set(DATA, (value & 1 ? (uintptr_t)one : (uintptr_t)two) | 3 | NX, PV_FLUSH_PAGE); break;
    case REMAP_LATER: pv_entry_set(DATA, (uintptr_t)one | 3 | NX, 0); break;
    case FLUSH: pv_tlb_flush(PV_FLUSH_ALL, 0); break;
    default: break;
    }
}

static void second(void)
{
    for (;;) {
        while (order == NOTHING)
            pv_yield();
        obey();
        order = NOTHING;
    }
}

static void tell(enum order what, uint64_t number)
{
    value = number;
    order = what;
    while (order != NOTHING)
        pv_yield();
}

int main(void)
{
    unsigned n_right = 0, n_seen = 0;
    page = pv_page_alloc();
    one = pv_page_alloc();
    two = pv_page_alloc();
    *one = 1, *two = 2;
    pv_page_map(pv_space_kernel(), CODE, (uintptr_t)page, PV_MAP_EXECUTE);
    pv_page_map(pv_space_kernel(), DATA, (uintptr_t)two, PV_MAP_WRITE);
    const struct pv_vcpu_context context = {
        .rip = (uintptr_t)second, .rsp = (uintptr_t)stack + sizeof stack - 8,
    };
    if (pv_vcpu_up(1, &context) != 0)
        pv_printf("no second virtual CPU\n");
    for (unsigned i = 0; i < 300; i++) {
        tell(WRITE_CODE, i);
        n_right += ((unsigned (*)(void))CODE)() == i;
        tell(REMAP, i);
        n_seen += *(volatile uint64_t *)DATA == (i & 1 ? 1 : 2);
    }
    pv_printf("code: %u of 300, pages: %u of 300\n", n_right, n_seen);
    tell(REMAP, 0);
    uint64_t before = *(volatile uint64_t *)DATA;
    tell(REMAP_LATER, 0);
    tell(FLUSH, 0);
    pv_printf("after the flush: %lu, then %lu\n", before, *(volatile uint64_t *)DATA);
    return 0;
}
