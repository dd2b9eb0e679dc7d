/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real page tables, walked as the CPU does (SDM 3A 4.5), and guest-virtual copies through them. */
#include "api.h"
#include "shim.h"

enum { PRESENT = 1, WRITABLE = 2, LARGE = 1 << 7 };
#define NO_EXECUTE (1ull << 63)
#define FRAME_MASK 0x000ffffffffff000ull

/* Host address of an engine-physical one, or NULL where no frame is. */
const uint8_t *host_of_physical(struct engine *e, uint64_t physical)
{
    if (physical < e->ram_bytes)
        return e->ram + physical;
    if (physical - HV_BASE < e->hv_bytes)
        return e->hv + (physical - HV_BASE);
    return granted_page(e, physical, false);
}

/* rights: PRESENT, WRITABLE and USER as all levels grant them, NO_EXECUTE as any level asks. */
bool walk(struct engine *e, uint64_t gva, uint64_t *physical, uint64_t *rights)
{
    if (e->lane)
        return lane_walk(e, gva, physical, rights);
    if ((gva >> 47) + 1 > 1 && (gva >> 47) != 0x1ffff)
        return false;
    uint64_t table = e->v.cr3 & FRAME_MASK, granted = 7, no_execute = 0;
    for (int shift = 39;; shift -= 9) {
        const uint64_t *entries = (const uint64_t *)host_of_physical(e, table);
        if (!entries)
            return false;
        uint64_t entry = entries[(gva >> shift) & 511];
        if (!(entry & PRESENT))
            return false;
        granted &= entry;
        no_execute |= entry & NO_EXECUTE;
        if (shift == 12 || ((entry & LARGE) && shift < 39)) {
            uint64_t offset_mask = (1ull << shift) - 1;
            *physical = (entry & FRAME_MASK & ~offset_mask) | (gva & offset_mask);
            *rights = granted | no_execute;
            return true;
        }
        table = entry & FRAME_MASK;
    }
}

int pv_translate(pv_vcpu *v, uint64_t gva, uint64_t *physical, uint64_t *rights)
{
    return walk((struct engine *)v, gva, physical, rights) ? 0 : -1;
}

/* The guest's frame behind its address, or one it was granted, or NULL: the hypervisor's frames do not count. */
static uint8_t *guest_page(struct engine *e, uint64_t gva, bool write)
{
    uint64_t physical, rights;
    if (!walk(e, gva, &physical, &rights) || (write && !(rights & WRITABLE)))
        return NULL;
    if (likely(physical < e->ram_bytes))
        return e->ram + physical;
    return granted_page(e, physical, write);
}

static int copy(pv_vcpu *v, uint64_t gva, uint8_t *host, uint64_t n_bytes, bool write)
{
    struct engine *e = (struct engine *)v;
    if (n_bytes && gva + (n_bytes - 1) < gva)
        return -1;
    /* All pages are looked at before the first byte moves: a refused copy leaves nothing half done. */
    for (int pass = 0; pass < 2; pass++) {
        for (uint64_t done = 0; done < n_bytes;) {
            uint64_t part = PAGE_BYTES - ((gva + done) & (PAGE_BYTES - 1));
            if (part > n_bytes - done)
                part = n_bytes - done;
            uint8_t *page = guest_page(e, gva + done, write);
            if (!page)
                return -1;
            if (pass == 1 && write)
                memcpy(page, host + done, part);
            else if (pass == 1)
                memcpy(host + done, page, part);
            done += part;
        }
    }
    return 0;
}

int pv_copy_in(pv_vcpu *v, uint64_t gva, void *into, uint64_t n_bytes)
{
    return copy(v, gva, into, n_bytes, false);
}

int pv_copy_out(pv_vcpu *v, uint64_t gva, const void *from, uint64_t n_bytes)
{
    return copy(v, gva, (uint8_t *)from, n_bytes, true);
}

/* Up to n code bytes at a linear address, fewer where the next page is not mapped. */
uint32_t fetch(struct engine *e, uint64_t rip, uint8_t *into, uint32_t n)
{
    uint32_t done = 0;
    while (done < n) {
        uint64_t physical, rights;
        const uint8_t *host;
        if (!walk(e, rip + done, &physical, &rights) || !(host = host_of_physical(e, physical)))
            break;
        uint32_t part = (uint32_t)(PAGE_BYTES - (physical & (PAGE_BYTES - 1)));
        if (part > n - done)
            part = n - done;
        memcpy(into + done, host, part);
        done += part;
    }
    return done;
}

/* The page is remembered: code_at() looks here only for another one. NULL: nothing is mapped. */
const uint8_t *find_code_page(struct engine *e, uint64_t page)
{
    uint64_t physical, rights;
    const uint8_t *host;
    if (!walk(e, page, &physical, &rights) || !(host = host_of_physical(e, physical)))
        return NULL;
    e->code_page = page;
    e->code_epoch = e->epoch;
    return e->code_host = host;
}
