/* SPDX-License-Identifier: MIT */
/*
 * Changes of page tables by hypercall. A table is a page that nobody may write to: it is mapped for reading only, and
 * the hypervisor writes the entries, after it has looked at what they say. One call for each entry, as a store would be
 * one, or many entries in one call: changes that may come later are queued.
 *
 * The queue holds at most one change of an entry. It is found by a part of its address; where two have that part in
 * common the queue is sent first.
 */
#include <pv/hypercall.h>
#include <pv/memory.h>
#include <pv/power.h>

#include "paging.h"

#define ENTRY_P  0x001ull
#define ENTRY_W  0x002ull
#define ENTRY_NX 0x8000000000000000ull
#define ADDRESS  0x000ffffffffff000ull

#define N_PLACES 1024

static struct pv_entry_update queue[PV_TABLE_UPDATE_MAX];
static uint32_t n_queued;
static uint16_t places[N_PLACES]; /* 1 + the index in the queue, or 0 */
static bool has_lost;

uint64_t *pv_paging_root(void)
{
    return (uint64_t *)pv_info()->root_table;
}

static uint16_t *place_of(const uint64_t *entry)
{
    return &places[(uintptr_t)entry / sizeof *entry % N_PLACES];
}

/* The change of an entry that is queued, or NULL. */
static struct pv_entry_update *find(const uint64_t *entry)
{
    uint16_t place = *place_of(entry);
    return place != 0 && queue[place - 1].gpa == (uintptr_t)entry ? &queue[place - 1] : NULL;
}

uint64_t pv_paging_read(const uint64_t *entry)
{
    const struct pv_entry_update *queued = find(entry);
    return queued != NULL ? queued->entry : *(const volatile uint64_t *)entry; /* the CPU sets bits in it */
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

void pv_paging_send(bool is_seen)
{
    if (n_queued != 0) {
        update(queue, n_queued, is_seen && has_lost ? PV_FLUSH_ALL : 0);
        for (uint32_t i = 0; i < n_queued; i++)
            *place_of((const uint64_t *)queue[i].gpa) = 0;
        n_queued = 0;
    } else if (is_seen && has_lost) {
        pv_tlb_flush(PV_FLUSH_ALL, 0);
    }
    has_lost = has_lost && !is_seen;
}

void pv_paging_queue(const uint64_t *entry, uint64_t value, bool loses)
{
    struct pv_entry_update *queued = find(entry);
    if (queued == NULL) {
        if (*place_of(entry) != 0 || n_queued == PV_TABLE_UPDATE_MAX)
            pv_paging_send(false);
        queued = &queue[n_queued++];
        queued->gpa = (uintptr_t)entry;
        *place_of(entry) = (uint16_t)n_queued;
    }
    queued->entry = value;
    has_lost |= loses;
}

int pv_paging_write(const uint64_t *entry, uint64_t value, uint64_t address)
{
    if (find(entry) != NULL)
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
        table = (const uint64_t *)(table[(uintptr_t)page >> shift & 511] & ADDRESS);
    return &table[(uintptr_t)page >> 12 & 511];
}

int pv_paging_add_table(uint64_t *page, const uint64_t *parent, uint64_t flags)
{
    pv_paging_queue(entry_of_page(page), (uintptr_t)page | ENTRY_P | ENTRY_NX, false);
    if (parent != NULL)
        pv_paging_queue(parent, (uintptr_t)page | flags, false);
    pv_paging_send(false); /* after all that may still map the page */
    return parent != NULL ? 0 : (int)pv_table_pin((uintptr_t)page, 4);
}

void pv_paging_queue_plain(uint64_t *table)
{
    pv_paging_queue(entry_of_page(table), (uintptr_t)table | ENTRY_P | ENTRY_W | ENTRY_NX, false);
}
