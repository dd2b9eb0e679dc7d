/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shadow page tables, for a wing whose guest has tables of its own (full): the mechanism. What a mapping may
 * be, the wing decides (pvisor/full/paging.py, full/native/paging.c); here it is entered, found and taken back.
 *
 *   shadow.c        roots, tables, entries
 *   stale.c         what of an address space the guest has changed
 *   shadow_frames.c what is known of each guest frame: aliases, W^X, guest tables, patches
 *   kept.c          code that is kept while its frame is written to
 *   known.c         blocks that need not be looked at again
 */
#ifndef PV_SHADOW_H
#define PV_SHADOW_H
#include "shim.h"

/* Bits of a shadow entry (SDM 3A 4.5.4). */
#define ENTRY_P 1ull
#define ENTRY_W 2ull
#define ENTRY_U 4ull
#define ENTRY_A 0x20ull
#define ENTRY_AD 0x60ull
#define ENTRY_NX (1ull << 63)
#define ENTRY_FRAME 0x000ffffffffff000ull

/* What is known of a guest frame. */
enum {
    FRAME_EXECUTABLE = 1,  /* it may be mapped executable, and then not writable */
    FRAME_TRANSLATED = 2,  /* the engine may remember its code, mapped or not */
    FRAME_WRITABLE = 4,    /* some entry may be writable */
    FRAME_PATCHED = 8,     /* some instruction in it is replaced (sensitive.c) */
    FRAME_SHOWN = 16,      /* others look at it, or write to it, while the guest does not run */
    FRAME_KEPT = 32        /* it is written to, and its old code has not been forgotten (kept.c) */
};

#define N_ROOTS 16u
#define N_MIXED 8u
#define N_STALE_SPANS 16u
#define NO_FRAME UINT32_MAX

/* One address space of the guest: the shadow of the tables that one CR3 names. */
struct root {
    uint64_t key;              /* what it is a shadow of; 0: free */
    uint64_t table;            /* engine-physical */
    uint32_t tables;           /* the tables below it: a list through shadow.next_table */
    bool has_gib_pages;        /* splintered pages of 1 GiB: INVLPG of any address in one drops the root */
    bool stale;                /* the guest wrote to its tables: dropped at the next flush, as a load of CR3 is one */
    uint64_t stale_spans[N_STALE_SPANS]; /* likewise, but of these parts only */
    uint32_t n_stale_spans;
    bool has_top;              /* `top` is a copy of its top table (stale.c) */
    bool top_is_stale;         /* and the guest wrote to the table since */
    bool is_lost[512];         /* by its entries: something was filled through one that is not as in `top` */
    uint32_t top_frame;
    uint64_t top[512];
    uint64_t epoch, generation;
    uint64_t last_used;
};

/*
 * What a guest table of 64-bit mode maps: an address, and in its low bits how many bits of addresses below it. All else,
 * and a table that is used in two places, may map anything.
 */
#define SPAN_EVERYTHING 64ull
#define SPAN_TOP 128ull        /* the top table: what it maps is told by which of its entries change */
static inline uint64_t span(uint64_t gva, uint32_t n_bits)
{
    return (gva & ~((1ull << n_bits) - 1)) | n_bits;
}

struct alias {                 /* an entry that may map a frame */
    uint64_t page;             /* GVA, and the root's index in the low bits */
    uint32_t next;
};

struct mixed {                 /* a page writable and executable at once */
    uint64_t page;
    uint32_t root, frame;
};

struct shadow {
    struct root roots[N_ROOTS];
    uint32_t current;
    uint64_t clock;
    uint64_t n_switches, n_stale; /* changes of address space; of those, to one whose tables had changed */

    uint32_t first_table, n_tables, n_tables_used, free_table; /* indices of the hypervisor's frames */
    uint32_t *next_table;
    uint8_t *large;            /* by table: the shift of the largest guest page that was splintered into it */
    uint64_t forget_root, forget_entry;

    uint32_t n_frames;
    uint8_t *flags, *n_flips;
    uint32_t *first_alias;     /* by frame; 0: none */
    uint32_t *table_of;        /* by frame: roots, as bits, whose shadow was made from this guest table */
    uint64_t *span_of;         /* by frame, if it is such a table: what it maps in all of them (span) */
    uint8_t **originals;       /* by frame: first bytes of patched instructions by offset, 0 elsewhere */
    struct patterns *patterns; /* what stood around patches (copies.c); NULL: there was none yet */
    struct alias *aliases;
    uint32_t n_aliases, n_aliases_used, free_alias;

    bool uses_shown;           /* some shown frame may hold code that has run, or a table that was walked */
    struct mixed mixed[N_MIXED];
    uint32_t n_mixed;

    uint32_t *versions;        /* by frame: how often its code was forgotten */
    struct known_block *known; /* known.c */
    struct frame_copy *copies; /* of mixed frames */

    struct kept *kept;         /* kept.c: the latest of a ring */
    uint32_t next_kept;
    uint16_t *kept_at;         /* by frame: 1 + an index into kept, or 0 */
};

/* --- shadow.c */
static inline uint64_t *entries_of(struct engine *e, uint64_t table)
{
    return (uint64_t *)(e->hv + (table - HV_BASE));
}

uint64_t *shadow_entry(struct engine *e, const struct root *root, uint64_t gva);
void shadow_drop_root(struct engine *e, struct root *root);
void shadow_drop_all(struct engine *e);
void shadow_load_root(struct engine *e);

/* --- stale.c */
bool drop_stale(struct engine *e, struct root *root);
bool is_stale_root(const struct root *root);
void protect_tables(struct engine *e, struct root *root, uint64_t gva, uint32_t page_shift, const uint64_t *tables,
                    uint32_t n_tables);

/* --- shadow_frames.c */
bool remember_alias(struct engine *e, uint32_t frame, uint64_t gva);
void change_aliases(struct engine *e, uint32_t frame, uint64_t clear, uint64_t set);
void make_executable(struct engine *e, uint32_t frame, uint64_t gva);
void make_writable(struct engine *e, uint32_t frame, uint64_t gva, uint64_t rip, bool no_execute);
void protect_table(struct engine *e, uint32_t frame, uint64_t span);
void drop_mixed_of_span(struct engine *e, uint32_t root, uint64_t first, uint64_t last);
void forget_frame(struct engine *e, uint32_t frame);
void unmix_frame(struct engine *e, uint32_t frame);
bool is_mixed(const struct engine *e, uint64_t gva);
bool is_mixed_frame(const struct shadow *s, uint32_t frame);
bool is_mixed_as(const struct engine *e, uint64_t gva, uint32_t frame);
bool is_code_everywhere(const struct engine *e, uint32_t frame);
void drop_mixed_of_root(struct engine *e, uint32_t root);

/* --- kept.c */
bool open_kept(struct shadow *s);
void close_kept(struct shadow *s);
void keep_code(struct engine *e, uint32_t frame);
void compare_kept_code(struct engine *e, uint32_t frame);
void forget_translations(struct engine *e, uint32_t frame, uint32_t first, uint32_t end);

/* --- known.c */
bool open_known(struct shadow *s);
void close_known(struct shadow *s);
uint32_t recall_block(struct engine *e, uint64_t address, uint32_t size);
void know_block(struct engine *e, uint64_t address, uint32_t size, uint32_t insns);
#endif
