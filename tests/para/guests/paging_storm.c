/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random calls about page tables, by a seed and a number from the command line: most of them are wrong, some are
 * not. A sum of the results and of what the guest can see is printed. YIELD comes after every few: there the test
 * looks at all tables.
 */
#include <stdbool.h>

#include <pv/hypercall.h>
#include <pv/memory.h>
#include <pv/printf.h>
#include <pv/start.h>

#define N_POOL 10
#define P      1ull
#define W      2ull
#define NX     0x8000000000000000ull

static uint64_t pool[N_POOL];
static uint64_t state, sum;

static uint64_t any(uint64_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % n;
}

static void note(int64_t result)
{
    sum = sum * 31 + (uint64_t)result;
}

static const uint64_t *entry_of(uint64_t address)
{
    const uint64_t *table = (const uint64_t *)pv_space_kernel();
    for (unsigned shift = 39; shift > 12; shift -= 9)
        table = (const uint64_t *)(table[address >> shift & 511] & 0x000ffffffffff000);
    return &table[address >> 12 & 511];
}

/* Is the page mapped one to one, and so? */
static bool is_mapped(uint64_t page, uint64_t how)
{
    uint64_t entry = *(const volatile uint64_t *)entry_of(page);
    return (entry & 0x000ffffffffff000) == page && (entry & how) == how;
}

static uint64_t any_frame(void)
{
    if (any(20) == 0)
        return (uintptr_t)pv_space_kernel();
    if (any(30) == 0)
        return any(2) ? 0x4000000000 : 1ull << 36;
    return pool[any(N_POOL)];
}

static uint64_t any_entry(void)
{
    static const uint64_t how[] = {P | NX, P | NX, P | W | NX, P | W | NX, P, P | W, 0, P | 0x80, P | W | 4 | NX};
    return any_frame() | how[any(sizeof how / sizeof how[0])];
}

static uint64_t any_table_entry(void)
{
    static const uint64_t slots[] = {0, 0, 1, 2, 3, 255, 256, 271, 511};
    uint64_t frame = any_frame(), slot = slots[any(sizeof slots / sizeof slots[0])];
    bool is_own = frame == (uintptr_t)pv_space_kernel() && slot == 0; /* where all of the guest lies */
    return frame + 8 * (is_own ? 3 : slot);
}

static void one_call(void)
{
    struct pv_entry_update updates[4];
    uint64_t frame = any_frame();
    switch (any(12)) {
    case 0: case 1:
        note(pv_entry_set(pool[any(N_POOL)], any_entry(), (uint32_t)any(3)));
        break;
    case 2: case 3: /* as it should be */
        frame = pool[any(N_POOL)];
        note(pv_entry_set(frame, frame | P | NX | (any(3) ? 0 : W), (uint32_t)any(3)));
        break;
    case 4: case 5:
        note(pv_table_pin(frame, (uint32_t)any(5)));
        break;
    case 6:
        note(pv_table_unpin(frame));
        break;
    case 7: case 8:
        for (int i = 0; i < 4; i++)
            updates[i] = (struct pv_entry_update){any_table_entry(), any_entry()};
        note(pv_table_update(updates, (uint32_t)any(5), any(2) ? PV_FLUSH_ALL : 0));
        break;
    case 9:
        note(pv_tlb_flush((uint32_t)any(4), pool[any(N_POOL)]));
        break;
    case 10:
        frame = pool[any(N_POOL)];
        if (is_mapped(frame, P | W)) /* what may become a table later */
            ((volatile uint64_t *)frame)[any(3)] = any_entry();
        break;
    default:
        note(pv_memory_release(&pool[any(N_POOL)], 1));
        note(pv_memory_populate(&pool[any(N_POOL)], 1));
        break;
    }
}

/* A root that can be used: it has the kernel's first entry. */
static void try_roots(void)
{
    const uint64_t *kernel = (const uint64_t *)pv_space_kernel();
    uint64_t frame = pool[any(N_POOL)];
    if (is_mapped(frame, P | W))
        *(volatile uint64_t *)frame = *kernel;
    if (!is_mapped(frame, P) || (*(const volatile uint64_t *)frame ^ *kernel) >> 12)
        return;
    note(pv_entry_set(frame, frame | P | NX, 0));
    note(pv_root_set(frame, any(2) ? 0 : any_frame()));
    note(pv_root_set((uintptr_t)kernel, 0));
}

static uint64_t number(const char **text)
{
    uint64_t value = 0;
    while (**text == ' ')
        ++*text;
    while (**text >= '0' && **text <= '9')
        value = value * 10 + (uint64_t)(*(*text)++ - '0');
    return value;
}

int main(void)
{
    const char *words = pv_cmdline();
    state = number(&words);
    uint64_t n = number(&words);
    for (int i = 0; i < N_POOL; i++)
        pool[i] = (uintptr_t)pv_page_alloc();
    for (uint64_t i = 0; i < n; i++) {
        one_call();
        if (i % 8 == 0)
            try_roots();
        if (i % 4 == 0)
            pv_yield();
        if (i % 16 == 0) /* the accessed and dirty bits, too, are the same in both tiers */
            for (int k = 0; k < N_POOL; k++)
                note((int64_t)*(const volatile uint64_t *)entry_of(pool[k]));
    }
    pv_printf("sum %lx\n", sum);
    return 0;
}
