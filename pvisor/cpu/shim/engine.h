/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the shim knows of one vCPU: struct engine, and what it is made of. */
#ifndef PV_SHIM_ENGINE_H
#define PV_SHIM_ENGINE_H
#include <stdbool.h>
#include <stdint.h>

#include "types.h"
#include "unicorn_api.h"

/* Offsets into Unicorn's CPUX86State, each verified at start-up (state.c). */
struct state_layout {
    uint32_t eflags, hflags, segs, error_code, exception_is_int, old_exception;
};

struct extent {            /* of one translated block */
    uint32_t bytes;        /* 0 in a slot: empty */
    uint32_t insns;
};

struct slot {
    uint64_t key;          /* address ^ epoch ^ mode */
    struct extent extent;
};

struct tail {              /* instructions before `rip` in the block at `address` */
    uint64_t key;          /* of the block */
    uint64_t rip;
    uint32_t before;
    uint32_t used;
};

/*
 * A key's upper 16 bits, which canonical addresses leave alike. Four are of the mode: the ring and the width of code,
 * as hflags have them; 12, around them, of the epoch (blocks.c).
 */
#define KEY_MODE_SHIFT 48
#define KEY_MODE_BITS ((uint64_t)(HF_CPL | HF_CS32 | HF_CS64) << KEY_MODE_SHIFT)
#define EPOCH (1ull << 50)
#define N_SLOTS 32768u
#define N_TAILS 2048u
#define N_OPERATIONS 64u
#define N_LOOPS 256u
#define N_USER_IOS 256u
#define N_OPEN_OPERATIONS 32u
#define N_MARKS 8u
#define N_RECORDS 65536u
#define RECORD_SLACK 8192u     /* a block, of two pages at most, cannot make more exits inside hooks than it has bytes */

struct engine;
typedef bool native_handler(struct engine *e);

/* exits.c calls these; true: served, false: Python decides. They find the exit in e->v.exit. */
struct native {                /* one native handler, offered by a wing */
    const char *name;
    uint32_t reason;           /* enum pv_exit_reason */
    uint32_t number;           /* HYPERCALL: which; IO_IN, IO_OUT: the first I/O port */
    uint32_t n_numbers;        /* IO_IN, IO_OUT: how many I/O ports */
    native_handler *handler;
};

struct shadow;
struct grants;
struct code;
struct lane;                   /* pvisor/emu/native/emu.h */

struct open_operation {            /* a call of a probed function that has not returned yet */
    uint32_t index;
    uint64_t return_address, rsp;
    uint64_t exits, insns;
};

enum own_step {                    /* why */
    STEP_TF = 1,               /* RFLAGS.TF is ours: it is in the shadow of STI or MOV SS, or a page is open to it */
    STEP_WATCH = 2,            /* a watched page is open to it (v.watching) */
};

struct debug {                 /* the guest's breakpoints (debug.c) */
    uc_hook hooks[4];
    uint64_t addresses[4];
    uint32_t which;
    uint64_t repeating, repeating_at;  /* where RF was set at a repeated instruction, and the count of its next round */
    uint64_t pages[4];         /* open to one instruction */
    uint32_t n_pages;
};

struct mark {                  /* the first block there is waited for (marks.c) */
    uint64_t low, high;
    bool user_only;
};

struct engine {
    pv_vcpu v;                 /* first: pv_vcpu * and struct engine * are the same address */
    uc_engine *uc;
    uint8_t *state;            /* Unicorn's CPUX86State, live or the context's copy */
    const uint32_t *hflags;    /* in it */
    uc_context *context;       /* PV_REPAIR_CONTEXT only */
    uint32_t model;            /* Unicorn's number of the CPU; 0: Sandy Bridge */
    uint64_t guest_cr0, guest_cr4; /* as they were told to pv_set_cr0 and pv_set_cr4 */
    struct state_layout at;

    uint8_t *ram, *hv;         /* host addresses of guest RAM and of the hypervisor's frames */
    uint64_t ram_bytes, hv_bytes;
    struct pv_grants *grants;  /* NULL until there is one (grants.c) */

    uint64_t slot_salt;        /* so that address spaces do not use the same slots */
    uint64_t epoch;            /* changes whenever an address may hold other code */
    uint64_t last_epoch;       /* the latest that was given out */
    uint64_t generation;       /* changes when all epochs given out so far are void */
    uint64_t block_key, block_address;
    struct extent block;       /* .insns 0: none of it is credited */
    uint64_t paused_at;        /* v.insns with a block that ends in PAUSE, while it is the current one */
    uint64_t next_tlb_growth;  /* when v.insns reaches it (tlb.c) */
    uint64_t limit_without_event; /* what v.limit would be if no event waited for IF */
    uint64_t code_page, code_epoch;
    const uint8_t *code_host;
    struct slot slots[N_SLOTS];
    struct tail tails[N_TAILS];

    uint32_t window_step;      /* enum own_step: one instruction runs by itself */
    bool lost;                 /* Unicorn called abort() in this engine: it is not run again */
    uint32_t n_aborts;         /* how often it has done so; after one it is not freed */
    int32_t *nested;           /* in Unicorn's own struct: how many runs it thinks are open; NULL: not found yet */
    uint16_t nested_at[256];   /* where it may be, in words; n_nested_at of them (user_code.c) */
    uint32_t n_nested_at;
    bool stopping;             /* uc_emu_stop was called; what the block still does has no effect */
    bool tsc_hidden;           /* by CR4.TSD, since then (intercepts.c) */
    bool exit_open;            /* v.exit waits to be completed (counted, traced, answered) */
    bool served_natively;
    uint64_t exit_started_ns;

    native_handler *native[PV_EXIT_REASONS];
    native_handler *native_hypercall[256];
    uint8_t native_ioport[2][65536]; /* by IN or OUT and I/O port: 1 + an index into native_io, or 0 */
    native_handler *native_io[64];
    uint32_t n_native_io;

    struct shadow *shadow;     /* NULL: the tables in CR3 are nobody's shadow */
    struct code *code;         /* NULL: no frame's content changes unseen (code.c) */
    uint64_t n_patches, n_patches_ever;
    struct lane *lane;         /* NULL: the guest is deprivileged; else it has the engine's CPU to itself */

    pv_record *records;        /* NULL: no trace */
    uint32_t n_records;

    uint64_t loops[N_LOOPS];   /* addresses of LOOPE and LOOPNE that have a hook (loops.c) */
    uint32_t n_loops;
    uint64_t user_ios[N_USER_IOS]; /* likewise of I/O instructions of user code (user_io.c) */
    uint32_t n_user_ios;

    pv_operation operations[N_OPERATIONS];
    uint32_t n_operations;
    struct open_operation open_operations[N_OPEN_OPERATIONS];
    uint32_t n_open_operations;
    struct debug debug;

    struct mark marks[N_MARKS];
    uint32_t marks_set, marks_met; /* by index, as bits: waited for; met, and not told yet */
    pv_place *places;          /* NULL: nobody asks (places.c) */
    uint64_t n_elsewhere;
};
#endif
