/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's own page tables, in the mode that the guest is in (SDM 3A 4.1), for whoever looks from outside. */
#include "emu.h"

enum { PRESENT = 1, LARGE = 1 << 7, CR4_PSE = 1 << 4, CR4_PAE = 1 << 5 };
#define FRAME_MASK 0x000ffffffffff000ull
#define NO_EXECUTE (1ull << 63)

struct form { int top_shift, index_bits, entry_bytes; };

static uint64_t read_entry(struct engine *e, uint64_t physical, int n_bytes)
{
    uint64_t entry = 0;
    if (physical + 8 <= e->ram_bytes)
        memcpy(&entry, e->ram + physical, (size_t)n_bytes);
    return entry;
}

/* A page of 4 MiB has more address bits in its bits 13 to 20 (PSE-36). */
static uint64_t large_frame(uint64_t entry, struct form form, int shift)
{
    if (form.entry_bytes == 4)
        return (entry & 0xffc00000u) | (entry & 0x1fe000u) << 19;
    return entry & FRAME_MASK & ~((1ull << shift) - 1);
}

bool lane_walk(struct engine *e, uint64_t gva, uint64_t *physical, uint64_t *rights)
{
    bool is_long = lane_efer(e) & EFER_LMA, pae = lane_cr4(e) & CR4_PAE;
    if (!(lane_cr0(e) >> CR0_PG_SHIFT & 1)) {
        *physical = (uint32_t)gva;
        *rights = 7;
        return true;
    }
    if (is_long && (gva >> 47) + 1 > 1 && (gva >> 47) != 0x1ffff)
        return false;
    if (!is_long)
        gva = (uint32_t)gva;
    const struct form form = is_long ? (struct form){39, 9, 8} : pae ? (struct form){30, 9, 8} : (struct form){22, 10, 4};
    uint64_t table = lane_cr3(e) & (!is_long && pae ? 0xffffffe0ull : FRAME_MASK), granted = 7, no_execute = 0;
    for (int shift = form.top_shift;; shift -= form.index_bits) {
        uint64_t index = gva >> shift & ((1ull << form.index_bits) - 1);
        uint64_t entry = read_entry(e, table + index * (uint64_t)form.entry_bytes, form.entry_bytes);
        if (!(entry & PRESENT))
            return false;
        bool is_directory_pointer = shift == 30 && !is_long; /* of PAE: no rights in there */
        if (!is_directory_pointer) {
            granted &= entry;
            no_execute |= entry & NO_EXECUTE;
        }
        bool may_be_large = shift == 21 || (shift == 22 && lane_cr4(e) & CR4_PSE) || (shift == 30 && is_long);
        if (shift == 12 || (may_be_large && entry & LARGE)) {
            uint64_t offset = gva & ((1ull << shift) - 1);
            *physical = (shift == 12 ? entry & FRAME_MASK : large_frame(entry, form, shift)) + offset;
            *rights = granted | no_execute;
            return true;
        }
        table = entry & FRAME_MASK;
    }
}
