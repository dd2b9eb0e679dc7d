/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inside of the shim: one `struct engine` a vCPU, no other mutable state but the loaded library
 * and the list that signal handlers walk (signals.c).
 *
 *   unicorn_api.c  the library           state.c   Unicorn's CPU state: where it lies, how it is repaired
 *   engine.c       open, map, registers  blocks.c, tails.c  the block hook: counting, limits, the CPL check
 *   exits.c, quick.c  hooks -> exits     intercepts.c  exits that are served inside their hooks
 *   classify.c     what raised #GP?
 *   run.c          the way in and out    walk.c      real page tables
 *   trace.c        records, counters     decode.c    instruction lengths (capstone)
 *   signals.c      Ctrl-C                operations.c  operations of `compare`
 *   natives.c      native handlers       shadow.c, stale.c, shadow_frames.c  shadow page tables
 *   known.c, kept.c  what is still right of code that may have changed   strings.c  REP MOVS, REP STOS
 *   sensitive.c    instructions that x86 does not trap   tlb.c  one page's translation
 *   code.c         code that changes unseen   pauses.c  PAUSE takes time
 *   debug.c        the guest's breakpoints    grants.c    frames of other domains
 *   user_code.c, user_io.c  what user code may not do
 *   loops.c        LOOPE and LOOPNE         marks.c, places.c  for who watches a run
 *   floor.c        what an exit costs at least; shares nothing with the rest
 */
#ifndef PV_SHIM_H
#define PV_SHIM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "types.h"
#include "unicorn_api.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
/* Engine-physical address of the hypervisor's own frames; guest RAM begins at 0. */
#define HV_BASE (1ull << 38)
#define PAGE_BYTES 4096ull

#include "engine.h"

/* --- state.c */
void context_load(struct engine *e);
void context_store(struct engine *e);

/* Before reading state in a hook. The live state (PV_REPAIR_STATE) needs nothing. */
static inline void state_load(struct engine *e)
{
    if (unlikely(e->v.repair == PV_REPAIR_CONTEXT))
        context_load(e);
}

/* After changing it. */
static inline void state_store(struct engine *e)
{
    if (unlikely(e->v.repair == PV_REPAIR_CONTEXT))
        context_store(e);
}

uc_err read_register(struct engine *e, int id, void *value);
uc_err write_register(struct engine *e, int id, const void *value);

static inline uint32_t *state32(struct engine *e, uint32_t offset)
{
    return (uint32_t *)(e->state + offset);
}
static inline uint64_t *state64(struct engine *e, uint32_t offset)
{
    return (uint64_t *)(e->state + offset);
}

/* QEMU's hflags (target/i386/cpu.h), the bits that segment loads set. */
enum {
    HF_CPL = 3, HF_INHIBIT_IRQ = 1 << 3, HF_CS32 = 1 << 4, HF_SS32 = 1 << 5, HF_ADDSEG = 1 << 6, HF_LMA = 1 << 14,
    HF_CS64 = 1 << 15,
};
enum { RFLAGS_TF = 1 << 8, RFLAGS_VM = 1 << 17, REAL_IF = 1 << 9, REAL_KERNEL_IOPL = 1 << 12 };
enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS };
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11 };

static inline uint32_t current_hflags(struct engine *e)
{
    return *state32(e, e->at.hflags);
}
/* What a hypercall leaves in RCX and R11 under --debug-abi: the ABI's PV_POISON. */
#define POISON 0xdeadc0dedeadc0deull

static inline bool in_64bit_code(struct engine *e)
{
    return current_hflags(e) & HF_CS64;
}

/* --- shadow.c, sensitive.c */
void close_shadow(struct engine *e);
bool patch_block(struct engine *e, uint64_t address, uint32_t size);
void undo_patches(struct engine *e, uint32_t frame);
void drop_overwritten_patches(struct engine *e, uint32_t frame);
bool replace_byte(struct engine *e, uint64_t physical, uint8_t original);
uint8_t original_byte(struct engine *e, uint64_t linear, const uint8_t *host);

/* --- copies.c */
void remember_around(struct engine *e, uint64_t linear);
uint8_t original_of_copy(struct engine *e, uint64_t linear);

/* --- code.c: what is known of a block's bytes */
enum code_state {
    CODE_FIXED,                /* they cannot change but by a hypercall */
    CODE_CHANGING,             /* they are as they were translated, and may change */
    CODE_UNKNOWN,              /* the tables do not lead there any more */
    CODE_STALE                 /* what was translated has been forgotten: translate the block again */
};
#define CHANGING (1u << 31)    /* in extent.bytes: look before each run */
#define STRING (1u << 30)      /* likewise: it may be run ahead (strings.c) */
#define PAUSING (1u << 29)     /* likewise: it ends in PAUSE (pauses.c) */
enum code_state look_at_code(struct engine *e, uint64_t address, uint32_t size);
void enter_space(struct engine *e, uint64_t root);
void close_code(struct engine *e);

/* --- loops.c */
bool hook_loop(struct engine *e, uint64_t address, uint32_t size);
void clear_copy_of_flags(struct engine *e);

/* --- user_io.c, user_code.c */
bool refuse_user_io(struct engine *e);
bool hook_user_io(struct engine *e, uint64_t address, uint32_t size);
bool leave_virtual_8086(struct engine *e);
bool refuse_untranslatable(struct engine *e);

/* --- tlb.c */
void flush_page(struct engine *e, uint64_t gva);
void let_tlb_grow(struct engine *e);
void spare_search_of_tlb(struct engine *e);

/* --- engine.c */
void set_segment(struct engine *e, int index, const pv_segment *segment);

static inline void answer_hypercall(struct engine *e)
{
    uint64_t *gpr = e->v.regs->gpr;
    gpr[RAX] = (uint64_t)e->v.exit.result;
    if (unlikely(e->v.debug_abi))
        gpr[RCX] = gpr[R11] = POISON;
}

/* The guest's kernel runs in ring 1, its user code in ring 3. */
static inline bool in_user_code(struct engine *e)
{
    return (current_hflags(e) & HF_CPL) == 3;
}

/*
 * RIP is relative to CS.base outside 64-bit code; blocks and code bytes are found by linear addresses. The engine
 * does not wrap them at 4 GiB when it fetches, so neither is the sum here: the shadow has the page there, too.
 */
static inline uint64_t linear_of(struct engine *e, uint64_t rip)
{
    if (likely(in_64bit_code(e)))
        return rip;
    return rip + *state64(e, e->at.segs + 24 * SEG_CS + 8);
}

/* The other way: hooks are told linear addresses. */
static inline uint64_t rip_of(struct engine *e, uint64_t linear)
{
    return in_64bit_code(e) ? linear : (uint32_t)(linear - *state64(e, e->at.segs + 24 * SEG_CS + 8));
}

/* --- shadow_frames.c */
bool uses_shown_frames(const struct engine *e);
void restore_shown_frames(struct engine *e);

/* --- strings.c */
bool is_string_block(struct engine *e, uint64_t address, uint32_t size);
uint64_t run_string_ahead(struct engine *e, uint64_t address, uint32_t size, uint64_t limit);

/* --- known.c */
void forget_known(struct engine *e);

/* --- walk.c, grants.c */
void close_grants(struct engine *e);
uint8_t *granted_page(struct engine *e, uint64_t physical, bool write);
const uint8_t *host_of_physical(struct engine *e, uint64_t physical);
bool walk(struct engine *e, uint64_t gva, uint64_t *physical, uint64_t *rights);
uint32_t fetch(struct engine *e, uint64_t rip, uint8_t *into, uint32_t n);
const uint8_t *find_code_page(struct engine *e, uint64_t page);

/* 16 bytes at a linear address without a copy, or NULL: near a page's end, or where nothing is mapped. */
static inline const uint8_t *code_at(struct engine *e, uint64_t linear)
{
    uint64_t offset = linear & (PAGE_BYTES - 1), page = linear - offset;
    const uint8_t *host = e->code_host;
    if (unlikely(offset > PAGE_BYTES - 16))
        return NULL;
    if (unlikely(e->code_page != page || e->code_epoch != e->epoch) && !(host = find_code_page(e, page)))
        return NULL;
    return host + offset;
}

/* --- pvisor/emu/native */
void close_lane(struct engine *e);
bool lane_walk(struct engine *e, uint64_t gva, uint64_t *physical, uint64_t *rights);
bool lane_wants_look(struct engine *e);
bool lane_nmi_blocked(struct engine *e);
uint32_t lane_stopped(struct engine *e);
void lane_raise(struct engine *e, uint32_t vector);

/* --- blocks.c */
static inline struct slot *find_slot(struct engine *e, uint64_t address)
{
    return &e->slots[(address ^ (address >> 13) ^ e->slot_salt) & (N_SLOTS - 1)];
}

struct slot *count_block(struct engine *e, uint64_t address, uint32_t size);
void stop_at_block(struct engine *e, uint32_t reason, uint64_t address);
bool take_event(struct engine *e, uint64_t rip);
void at_deadline(struct engine *e, uint64_t address, void (*look_again)(struct engine *e, uint64_t address));
void end_slice(struct engine *e, uint64_t address);
void on_block(uc_engine *uc, uint64_t address, uint32_t size, void *user);
void on_block_copied(uc_engine *uc, uint64_t address, uint32_t size, void *user);
void refresh_limit(struct engine *e);
void new_epoch(struct engine *e);
void take_epoch(struct engine *e);

/* --- tails.c */
uint32_t insns_before(struct engine *e, uint64_t rip);

/* --- pauses.c */
enum { PAUSE_NS = 40 };
bool learn_pause(struct engine *e, uint64_t address, uint32_t size);
void credit_pause(struct engine *e);

/* What the current block is credited with for the PAUSE at its end, if `rest` of its instructions have not run. */
static inline uint64_t pause_ahead(struct engine *e, uint64_t rest)
{
    return unlikely(e->paused_at == e->v.insns) && rest ? PAUSE_NS : 0;
}

/* Gives back the instructions of the current block that did not run: those from `rip` on. */
static inline void uncredit_from(struct engine *e, uint64_t rip)
{
    if (!e->block.insns)
        return; /* it has been left already: a fault of the next fetch comes before the next block begins */
    uint32_t rest = e->block.insns - insns_before(e, rip);
    e->v.idle_ns -= pause_ahead(e, rest);
    e->v.insns -= rest;
    e->block.insns = 0;
}

/* With PV_REMEDY_REGISTERS the guest's CLI, STI and POPF change the real IF, and nobody is told: the field follows. */
static inline void follow_if(struct engine *e)
{
    if (unlikely(e->v.remedy == PV_REMEDY_REGISTERS))
        e->v.virtual_if = (*state32(e, e->at.eflags) & REAL_IF) != 0;
}

/* An NMI waits, and nothing holds it but the shadow of STI or MOV SS. */
static inline bool nmi_due(struct engine *e)
{
    return unlikely(e->v.nmi_pending) && !(e->lane ? lane_nmi_blocked(e) : e->v.nmi_blocked);
}

/* An interrupt of a device with IF set, or an NMI. */
static inline bool event_due(struct engine *e)
{
    return (e->v.event_pending && e->v.virtual_if) || nmi_due(e);
}

/* A trap ends the shadow of a STI that the engine ran itself: it remembers one until a block ends. */
static inline void leave_shadow(struct engine *e)
{
    if (unlikely(e->v.remedy == PV_REMEDY_REGISTERS))
        *state32(e, e->at.hflags) &= ~(uint32_t)HF_INHIBIT_IRQ;
}

/* --- debug.c */
void end_step(struct engine *e);

/* The instruction that was to run by itself did not run to its end, or it did: RFLAGS.TF is the guest's again. */
static inline void end_window_step(struct engine *e)
{
    if (unlikely(e->window_step))
        end_step(e);
}

/* --- exits.c, intercepts.c, run.c, trace.c, operations.c, marks.c, places.c, decode.c, signals.c */
uint32_t classify(const uint8_t *op, uint32_t n, bool mode64);
bool is_prefix(uint8_t byte, bool mode64); /* legacy prefixes and REX */
void install_hooks(struct engine *e);
void raise_fault(struct engine *e, uint32_t vector);
void dispatch(struct engine *e, native_handler *handler);
bool quick_trap(struct engine *e, uint64_t rip); /* quick.c */
bool serve_natively(struct engine *e, native_handler *handler);
void serve_in_hook(struct engine *e, uint32_t reason);
void show_tsc(struct engine *e);
uint32_t on_in(uc_engine *uc, uint32_t ioport, int size, void *user);
void on_out(uc_engine *uc, uint32_t ioport, int size, uint32_t value, void *user);
int on_cpuid(uc_engine *uc, void *user);
int on_rdtsc(uc_engine *uc, void *user);
int on_rdtscp(uc_engine *uc, void *user);
void stop(struct engine *e);
void catch_aborts(void);
void complete_exit(struct engine *e);
uint64_t host_ns(void);
bool begins_or_ends_operation(struct engine *e, uint64_t address);
void follow_operation(struct engine *e, uint64_t address);
void meet_marks(struct engine *e, uint64_t address);
void count_place(struct engine *e);
uint32_t instruction_length(const uint8_t *code, size_t n_bytes, uint32_t width);
int count_instructions(const uint8_t *code, size_t n_bytes, uint32_t width); /* 0, 1, 2: 16, 32, 64 bits */
bool track_for_signals(struct engine *e);
void untrack_for_signals(struct engine *e);

/* The exit begins. `at_rip` is the exiting instruction; the caller has set what is particular to the reason. */
static inline void open_exit(struct engine *e, uint32_t reason, uint64_t rip, uint64_t next_rip)
{
    pv_exit *x = &e->v.exit;
    x->reason = reason;
    x->rip = rip;
    x->next_rip = next_rip;
    x->virtual_ns = e->v.insns + e->v.idle_ns;
    x->in_hook = 0;
    x->retired = 0;
    x->stepping = *state32(e, e->at.eflags) >> 8 & 1;
    x->outcome = 0;
    x->n_ops = 0;
    x->result = 0;
    e->exit_open = true;
}
#endif
