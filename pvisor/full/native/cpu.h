/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the native rooms of the virtual CPU share. Each of them has a twin of the same name in pvisor/full.
 *
 * A native handler does the plain case only. It reads and checks everything first; where anything is out of the
 * ordinary it returns false, and has changed nothing but the accessed and dirty bits that the Python twin, which
 * then does it all, would have set as well. So it never raises a fault on its own way.
 */
#ifndef PV_FULL_CPU_H
#define PV_FULL_CPU_H
#include "api.h"
#include "shadow.h"
#include "full/native/cpu_state.h"

/* Control bits (SDM 3A 2.5, 2.2.1, 2.3). */
enum { CR0_MP = 1 << 1, CR0_EM = 1 << 2, CR0_TS = 1 << 3, CR0_ET = 1 << 4, CR0_WP = 1 << 16, CR0_AM = 1 << 18 };
enum { CR4_TSD = 1 << 2, CR4_PSE = 1 << 4, CR4_PAE = 1 << 5, CR4_PCIDE = 1 << 17, CR4_OSXSAVE = 1 << 18 };
enum { EFER_SCE = 1, EFER_LMA = 1 << 10, EFER_NXE = 1 << 11 };
enum { RFLAGS_IF = 1 << 9, RFLAGS_IOPL = 3 << 12, RFLAGS_NT = 1 << 14, RFLAGS_RF = 1 << 16 };
#define CR0_PG (1u << 31)

/* Bits of a descriptor's second dword (SDM 3A 3.4.5). */
enum {
    SEGMENT_ACCESSED = 1 << 8, SEGMENT_WRITABLE = 1 << 9, SEGMENT_CONFORMING = 1 << 10, SEGMENT_CODE = 1 << 11,
    SEGMENT_NOT_SYSTEM = 1 << 12, SEGMENT_PRESENT = 1 << 15, SEGMENT_LONG = 1 << 21, SEGMENT_BIG = 1 << 22,
    SEGMENT_PAGES = 1 << 23, DPL_SHIFT = 13, REAL_KERNEL_DPL = 1,
};

enum { PHYSICAL_BITS = 38 }; /* cpu/features.py */

static inline pv_cpu *cpu_of(struct engine *e)
{
    return e->v.device[PV_DEVICE_CPU];
}

/* A wing with this struct and shadow tables has set up the engine. */
static inline bool is_pc(struct engine *e)
{
    return cpu_of(e) && e->shadow;
}

static inline uint32_t virtual_cpl(struct engine *e)
{
    return in_user_code(e) ? 3 : 0;
}

static inline bool is_long(struct engine *e)
{
    return cpu_of(e)->efer & EFER_LMA;
}

static inline bool is_canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* --- the engine's segment registers */
struct segment_cache {
    uint32_t selector, unused;
    uint64_t base;
    uint32_t limit, flags;
};

static inline const struct segment_cache *segment_at(struct engine *e, int index)
{
    return (const struct segment_cache *)(e->state + e->at.segs + 24 * (uint32_t)index);
}

/* --- flags.c */
uint64_t guest_rflags(struct engine *e);
void set_guest_rflags(struct engine *e, uint64_t rflags);

/* --- walk.c */
enum { READ = 0, WRITE = 1, FETCH = 2, USER = 4 };
enum walked { WALKED, WALK_PAGE_FAULT, WALK_NOT_CANONICAL };

struct mapping {
    uint64_t gpa;
    bool writable, user, no_execute, dirty;
    uint32_t page_shift, n_tables;
    uint64_t tables[4];
    uint32_t error_code;       /* WALK_PAGE_FAULT */
    uint64_t cr2;
};

struct place {                 /* RAM behind a piece of the guest's address space, of two pages at most */
    uint64_t gpa[2];
    uint32_t n_bytes[2];
};

enum walked guest_walk(struct engine *e, uint64_t gva, uint32_t access, struct mapping *m);
bool find_place(struct engine *e, uint64_t gva, uint32_t n_bytes, uint32_t access, struct place *place);
void store(struct engine *e, const struct place *place, const void *data);
bool read_guest(struct engine *e, uint64_t gva, void *into, uint32_t n_bytes, uint32_t access);

/* What the guest's code may do now: WRITE or READ at its level. */
static inline uint32_t at_level(struct engine *e, uint32_t access)
{
    return in_user_code(e) ? access | USER : access;
}

/* --- operands.c */
struct insn {                  /* an instruction as far as its opcode */
    const uint8_t *op, *end;
    uint8_t rex;
    bool has_operand_prefix;
    int segment;               /* that a prefix names, or -1 */
};

struct modrm {
    uint32_t mod, reg, rm, n_bytes;
    uint64_t address;          /* linear, where mod is not 3 */
};

bool parse(struct engine *e, struct insn *insn);
bool parse_modrm(struct engine *e, const struct insn *insn, const uint8_t *at, struct modrm *m);
uint32_t operand_bytes(struct engine *e, const struct insn *insn);
uint32_t stack_bytes(struct engine *e, const struct insn *insn);
uint64_t stack_address(struct engine *e, uint64_t rsp);
uint64_t moved_stack(struct engine *e, int64_t n_bytes);

/* Goes on at `next_rip`; the instruction has retired. */
static inline bool step_to(struct engine *e, uint64_t next_rip)
{
    e->v.regs->rip = in_64bit_code(e) ? next_rip : (uint32_t)next_rip;
    e->v.insns++;
    return true;
}

/* Over an instruction whose last byte is before `end` in exit.insn: it has retired. */
static inline bool step_over(struct engine *e, const uint8_t *end)
{
    return step_to(e, e->v.exit.rip + (uint64_t)(end - e->v.exit.insn));
}

/* --- segments.c */
struct descriptor {
    uint32_t low, flags;
};

static inline uint32_t dpl_of(const struct descriptor *d)
{
    return d->flags >> DPL_SHIFT & 3;
}

bool find_descriptor(struct engine *e, uint32_t selector, struct descriptor *d);
uint32_t limit_of(const struct descriptor *d);
bool can_enter(struct engine *e, const struct descriptor *d);
bool can_hold(struct engine *e, const struct descriptor *d, uint64_t rip);
bool find_stack(struct engine *e, uint32_t selector, uint32_t cpl, bool to_64bit_code, pv_segment *stack);
void load_code(struct engine *e, uint32_t selector, const struct descriptor *d, uint32_t cpl);
void load_flat(struct engine *e, int index, uint32_t selector, uint32_t flags, uint32_t cpl);
void set_base(struct engine *e, int index, uint64_t base);
void clear_kernel_data(struct engine *e);

static inline bool is_code(const struct descriptor *d)
{
    return (d->flags & (SEGMENT_NOT_SYSTEM | SEGMENT_CODE)) == (SEGMENT_NOT_SYSTEM | SEGMENT_CODE);
}

static inline bool is_conforming(const struct descriptor *d)
{
    return is_code(d) && d->flags & SEGMENT_CONFORMING;
}

/* --- paging.c */
void switch_space(struct engine *e, bool keeps); /* keeps: nothing is flushed */

/* --- mmio.c */
bool device_access(struct engine *e, uint64_t gpa);

/* --- interrupts.c */
bool reflect(struct engine *e, uint32_t vector, uint32_t error_code);
#endif
