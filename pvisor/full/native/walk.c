/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's page tables walked in C: 32-bit, PAE and 4-level paging (SDM 3A 4.3-4.7), and the memory behind
 * them. The twin is full/walk.py, and it is to be read beside this.
 */
#include "full/native/cpu.h"

#define PT_P 1ull
#define PT_W 2ull
#define PT_U 4ull
#define PT_A (1ull << 5)
#define PT_D (1ull << 6)
#define PT_PS (1ull << 7)
#define PT_NX (1ull << 63)
#define PT_FRAME 0x000ffffffffff000ull
#define BEYOND_PHYSICAL (PT_FRAME & ~((1ull << PHYSICAL_BITS) - 1))
#define BEYOND_FRAME (PT_NX - (1ull << 52)) /* ignored by 4-level paging, reserved by PAE paging */

enum { FAULT_P = 1, FAULT_W = 2, FAULT_U = 4, FAULT_RSVD = 8, FAULT_I = 16 };

struct step {                  /* an entry that a walk went through */
    uint64_t at, entry;
};

/* Before the host stores to RAM for the guest: code that lies there is forgotten, tables made from it are stale. */
static inline void about_to_store(struct engine *e, uint64_t gpa, bool is_walker)
{
    const struct shadow *s = e->shadow;
    uint64_t frame = gpa / PAGE_BYTES;
    if (unlikely(s->flags[frame] & FRAME_TRANSLATED || (s->table_of[frame] && !is_walker)))
        pv_shadow_host_write(&e->v, gpa, is_walker);
}

static enum walked page_fault_at(struct engine *e, struct mapping *m, uint64_t gva, uint32_t access, uint32_t code)
{
    const pv_cpu *c = cpu_of(e);
    bool fetches_can_fault = c->efer & EFER_NXE && (c->efer & EFER_LMA || c->cr4 & CR4_PAE);
    m->error_code = code | (access & WRITE ? FAULT_W : 0) | (access & USER ? FAULT_U : 0) |
                    (access & FETCH && fetches_can_fault ? FAULT_I : 0);
    m->cr2 = gva;
    return WALK_PAGE_FAULT;
}

static uint64_t read_entry(struct engine *e, uint64_t at, uint32_t width)
{
    uint64_t entry = 0;
    if (likely(at + width <= e->ram_bytes))
        memcpy(&entry, e->ram + at, width);
    return entry;
}

static void set_bits(struct engine *e, const struct step *step, uint64_t bits, uint32_t width)
{
    uint64_t entry = step->entry | bits;
    if (likely(entry == step->entry))
        return;
    about_to_store(e, step->at, true);
    memcpy(e->ram + step->at, &entry, width);
}

static enum walked leaf(struct engine *e, uint64_t gva, uint32_t access, const struct step *trail, uint32_t n_steps,
                        uint64_t rights, uint32_t shift, uint32_t width, struct mapping *m)
{
    m->writable = rights & PT_W;
    m->user = rights & PT_U;
    m->no_execute = rights & PT_NX;
    if (access & USER && !m->user)
        return page_fault_at(e, m, gva, access, FAULT_P);
    if (access & WRITE && !m->writable) {
        if (access & USER || cpu_of(e)->cr0 & CR0_WP)
            return page_fault_at(e, m, gva, access, FAULT_P);
        m->writable = true; /* the kernel's store; so the entry is not for users */
        m->user = false;
    }
    if (access & FETCH && m->no_execute)
        return page_fault_at(e, m, gva, access, FAULT_P);
    for (uint32_t i = 0; i + 1 < n_steps; i++)
        set_bits(e, &trail[i], PT_A, width);
    const struct step *last = &trail[n_steps - 1];
    set_bits(e, last, access & WRITE ? PT_A | PT_D : PT_A, width);
    uint64_t offset_mask = (1ull << shift) - 1, base = last->entry & (width == 8 ? PT_FRAME : 0xfffff000ull) & ~offset_mask;
    if (width == 4 && shift == 22)
        base |= (last->entry >> 13 & 0xff) << 32; /* PSE-36 */
    m->gpa = base | (gva & offset_mask);
    m->dirty = access & WRITE || last->entry & PT_D;
    m->page_shift = shift;
    return WALKED;
}

/* Entries of 8 bytes: which of their bits are reserved? */
static bool is_reserved(const pv_cpu *c, uint64_t entry, uint32_t shift, bool is_large)
{
    return entry & BEYOND_PHYSICAL || (entry & PT_NX && !(c->efer & EFER_NXE)) || (shift == 39 && entry & PT_PS) ||
           (is_large && entry & ((1ull << shift) - 1) & ~0x1fffull) || (entry & BEYOND_FRAME && !(c->efer & EFER_LMA));
}

static enum walked walk_wide(struct engine *e, uint64_t gva, uint32_t access, uint64_t table, uint32_t shift,
                             struct mapping *m)
{
    struct step trail[4];
    uint64_t rights = PT_W | PT_U, no_execute = 0;
    for (uint32_t n = 0;; shift -= 9) {
        struct step *step = &trail[n++];
        step->at = table + (gva >> shift & 0x1ff) * 8;
        step->entry = read_entry(e, step->at, 8);
        m->tables[m->n_tables++] = table;
        if (!(step->entry & PT_P))
            return page_fault_at(e, m, gva, access, 0);
        bool is_large = step->entry & PT_PS && (shift == 30 || shift == 21);
        if (unlikely(is_reserved(cpu_of(e), step->entry, shift, is_large)))
            return page_fault_at(e, m, gva, access, FAULT_P | FAULT_RSVD);
        rights &= step->entry;
        no_execute |= step->entry & PT_NX;
        if (is_large || shift == 12)
            return leaf(e, gva, access, trail, n, rights | no_execute, shift, 8, m);
        table = step->entry & PT_FRAME;
    }
}

static enum walked walk_narrow(struct engine *e, uint64_t gva, uint32_t access, struct mapping *m)
{
    const pv_cpu *c = cpu_of(e);
    struct step trail[2];
    uint64_t rights = PT_W | PT_U, table = c->cr3 & 0xfffff000ull;
    for (uint32_t n = 0, shift = 22;; shift -= 10) {
        struct step *step = &trail[n++];
        step->at = table + (gva >> shift & 0x3ff) * 4;
        step->entry = read_entry(e, step->at, 4);
        m->tables[m->n_tables++] = table;
        if (!(step->entry & PT_P))
            return page_fault_at(e, m, gva, access, 0);
        bool is_large = shift == 22 && step->entry & PT_PS && c->cr4 & CR4_PSE;
        if (is_large && step->entry & 1ull << 21)
            return page_fault_at(e, m, gva, access, FAULT_P | FAULT_RSVD);
        rights &= step->entry;
        if (is_large || shift == 12)
            return leaf(e, gva, access, trail, n, rights, shift, 4, m);
        table = step->entry & 0xfffff000ull;
    }
}

/* Translates an address as the guest's CPU would. On a fault only error_code and cr2 hold. */
enum walked guest_walk(struct engine *e, uint64_t gva, uint32_t access, struct mapping *m)
{
    const pv_cpu *c = cpu_of(e);
    m->n_tables = 0;
    if (!(c->cr0 & CR0_PG)) {
        *m = (struct mapping){.gpa = (uint32_t)gva, .writable = true, .user = true, .dirty = true, .page_shift = 12};
        return WALKED;
    }
    if (likely(c->efer & EFER_LMA))
        return is_canonical(gva) ? walk_wide(e, gva, access, c->cr3 & PT_FRAME, 39, m) : WALK_NOT_CANONICAL;
    gva = (uint32_t)gva;
    if (!(c->cr4 & CR4_PAE))
        return walk_narrow(e, gva, access, m);
    uint64_t entry = c->pdpte[gva >> 30];
    if (!(entry & PT_P))
        return page_fault_at(e, m, gva, access, 0);
    m->tables[m->n_tables++] = c->cr3 & 0xffffffe0ull;
    return walk_wide(e, gva, access, entry & PT_FRAME, 21, m);
}

/* The RAM that an access would reach. False: some of it faults, or is no RAM. */
bool find_place(struct engine *e, uint64_t gva, uint32_t n_bytes, uint32_t access, struct place *place)
{
    place->gpa[1] = place->n_bytes[1] = 0;
    for (int i = 0; n_bytes; i++) {
        struct mapping m;
        uint32_t n = (uint32_t)(PAGE_BYTES - (gva & (PAGE_BYTES - 1)));
        if (n > n_bytes)
            n = n_bytes;
        if (guest_walk(e, gva, access, &m) != WALKED || m.gpa + n > e->ram_bytes)
            return false;
        place->gpa[i] = m.gpa;
        place->n_bytes[i] = n;
        gva += n;
        n_bytes -= n;
    }
    return true;
}

/* Writes all bytes of a place, as the guest's own store. */
void store(struct engine *e, const struct place *place, const void *data)
{
    const uint8_t *from = data;
    about_to_store(e, place->gpa[0], false);
    if (unlikely(place->n_bytes[1]))
        about_to_store(e, place->gpa[1], false);
    memcpy(e->ram + place->gpa[0], from, place->n_bytes[0]);
    memcpy(e->ram + place->gpa[1], from + place->n_bytes[0], place->n_bytes[1]);
}

bool read_guest(struct engine *e, uint64_t gva, void *into, uint32_t n_bytes, uint32_t access)
{
    struct place place;
    if (!find_place(e, gva, n_bytes, access, &place))
        return false;
    memcpy(into, e->ram + place.gpa[0], place.n_bytes[0]);
    memcpy((uint8_t *)into + place.n_bytes[0], e->ram + place.gpa[1], place.n_bytes[1]);
    return true;
}
