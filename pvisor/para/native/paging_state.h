/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known of a paravirtual domain's frames, and of its vCPUs' page-table roots. The Python handlers
 * (para/frames.py, para/paging.py) and the native ones (frames.c, paging.c) work on this one struct.
 *
 * Frames are numbered: RAM first (frame = GPA / 4096), then the slots of the grant window.
 */
#ifndef PV_PARA_PAGING_STATE_H
#define PV_PARA_PAGING_STATE_H
#include "types.h"

/* What a frame is used for. A table's type is the level of its entries. */
enum pv_frame_type {
    PV_FRAME_NONE = 0,
    PV_FRAME_L1 = 1,
    PV_FRAME_L4 = 4,
    PV_FRAME_WRITABLE = 5      /* somebody may write to it: some entry, or the host */
};

enum pv_frame_flag {
    PV_FRAME_POPULATED = 1,    /* it is there: not given back; of a slot: a grant is in it */
    PV_FRAME_PINNED = 2,       /* the guest keeps its type (TABLE_PIN) */
    PV_FRAME_READ_ONLY = 4     /* of a slot: the grant lets nobody write */
};

/* What the engines are to be told before the guest runs on. */
enum pv_paging_pending {
    PV_PENDING_FLUSH = 1,      /* all translations go */
    PV_PENDING_EPOCH = 2       /* addresses may hold other code */
};

struct pv_paging;

typedef struct pv_roots {      /* of one vCPU; GPAs */
    struct pv_paging *paging;
    uint64_t kernel, user;
} pv_roots;

typedef struct pv_paging {
    uint64_t *ram;             /* the domain's RAM as words */
    uint64_t hole_entry;       /* what each root holds for the hypervisor's hole */
    uint64_t window;           /* GPA of the first slot of the grant window */
    uint32_t n_ram_frames, n_frames;
    uint8_t *type;             /* by frame: enum pv_frame_type */
    uint8_t *flags;            /* by frame: enum pv_frame_flag */
    uint32_t *n_typed;         /* by frame: uses that hold its type: entries, pins, roots, holds */
    uint32_t *n_other;         /* by frame: uses that do not: entries that only read, holds */
    uint32_t *stale;           /* by frame: n_flushes when an entry for it went last; some engine may know it still */
    uint32_t *code;            /* by frame: 0: never executable; else it changes when the content may have */
    uint32_t n_flushes;        /* flushes of all translations of all vCPUs, counted from 1 */
    uint32_t pending;          /* enum pv_paging_pending */
    uint32_t n_walked;         /* tables that were validated or given up, for the bound of a call */
    uint32_t n_vcpus;
    pv_vcpu *vcpus[16];
    pv_roots roots[16];
} pv_paging;
#endif
