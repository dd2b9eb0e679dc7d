/* SPDX-License-Identifier: MIT */
/*
 * Changes of page tables by hypercall. A table is a page that nobody may write to: it is mapped for reading only, and
 * the hypervisor writes the entries, after it has looked at what they say. One call for each entry, as a store would be
 * one, or many entries in one call: changes that may come later are queued.
 */
#include <pv/hypercall.h>
#include <pv/memory.h>
#include <pv/power.h>

#include "entry.h"
#include "paging.h"

struct pv_paging_queue pv_paging_queue;

uint64_t *pv_paging_root(void)
{
    return (uint64_t *)pv_info()->root_table;
}

/* The hypervisor may do fewer than it is given, and refuses none that keeps to the rules of pv/memory.h. */
static void update(const struct pv_entry_update *updates, uint32_t n, uint32_t flags)
{
    uint32_t n_done = 0;
    while (n_done < n) {
        int64_t result = pv_table_update(updates + n_done, n - n_done, flags);
        if (result <= 0)
            pv_crash("a change of a page table was refused");
        n_done += (uint32_t)result;
    }
}

void pv_paging_send(bool forgets)
{
    uint32_t n = pv_paging_queue.n;
    if (n != 0)
        update(pv_paging_queue.updates, n, forgets ? PV_FLUSH_ALL : 0);
    else if (forgets)
        pv_tlb_flush(PV_FLUSH_ALL, 0);
    pv_paging_queue.n = 0;
}

void pv_paging_make_place(const uint64_t *entry)
{
    uint16_t *place = pv_paging_place(entry);
    bool is_full = pv_paging_queue.n == PV_TABLE_UPDATE_MAX;
    bool is_taken = *place < pv_paging_queue.n &&
                    pv_paging_place((const uint64_t *)pv_paging_queue.updates[*place].gpa) == place;
    if (is_full || is_taken)
        pv_paging_send(false);
}

int pv_paging_write(const uint64_t *entry, uint64_t value, uint64_t address)
{
    if (pv_paging_find(entry) != NULL)
        pv_paging_send(false);
    if (address != 0)
        return (int)pv_entry_set(address, value, PV_FLUSH_PAGE);
    const struct pv_entry_update change = {(uintptr_t)entry, value};
    int64_t result = pv_table_update(&change, 1, 0);
    return result < 0 ? (int)result : 0;
}

/* The entry that maps a page one to one. */
static const uint64_t *entry_of_page(const void *page)
{
    const uint64_t *table = pv_paging_root();
    for (unsigned shift = 39; shift > 12; shift -= 9)
        table = (const uint64_t *)(table[(uintptr_t)page >> shift & (N_ENTRIES - 1)] & ENTRY_ADDRESS);
    return &table[(uintptr_t)page >> 12 & (N_ENTRIES - 1)];
}

int pv_paging_add_table(uint64_t *page, const uint64_t *parent, uint64_t flags)
{
    pv_paging_put(entry_of_page(page), (uintptr_t)page | ENTRY_P | ENTRY_NX);
    if (parent != NULL)
        pv_paging_put(parent, (uintptr_t)page | flags);
    pv_paging_send(false); /* after all that may still map the page */
    return parent != NULL ? 0 : (int)pv_table_pin((uintptr_t)page, TOP_LEVEL);
}

/* Queue that tables can be written to again, which goes from the top downwards; they keep their content. */
static void free_tables(uint64_t *entries, size_t first, size_t last, int level)
{
    pv_paging_put(entry_of_page(entries), (uintptr_t)entries | ENTRY_P | ENTRY_W | ENTRY_NX);
    for (size_t i = first; level > 1 && i < last; i++)
        if (entries[i] & ENTRY_P)
            free_tables((uint64_t *)(entries[i] & ENTRY_ADDRESS), 0, N_ENTRIES, level - 1);
}

void pv_paging_remove_root(uint64_t *root, size_t first, size_t last)
{
    pv_paging_send(false);
    pv_table_unpin((uintptr_t)root);
    free_tables(root, first, last, TOP_LEVEL);
    pv_paging_send(false);
}
