/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frame types and counts in C, as para/frames.py has them. Results are 0 or -errno; then nothing has changed. */
#ifndef PV_PARA_FRAMES_H
#define PV_PARA_FRAMES_H
#include "pv/abi.h"
#include "cpu/shim/shim.h"
#include "para/native/paging_state.h"

/* Bits of a table entry (SDM 3A 4.5.4). */
#define ENTRY_P 1ull
#define ENTRY_W 2ull
#define ENTRY_LARGE 0x80ull
#define ENTRY_NX (1ull << 63)
#define ENTRY_FRAME 0x000ffffffffff000ull

enum { ENTRIES = 512, HOLE_SLOT = PV_HOLE_START >> 39 & 511, HOLE_SLOTS_END = PV_HOLE_END >> 39 & 511 };

static inline pv_roots *roots_of(struct engine *e)
{
    return e->v.device[PV_DEVICE_PAGING];
}

static inline bool is_table(uint8_t type)
{
    return type >= PV_FRAME_L1 && type <= PV_FRAME_L4;
}

/* Another use of a frame as a table of this level: it becomes one, if it can. */
int take_table(pv_paging *p, uint64_t frame, uint8_t level);

/* The same for the table at a GPA. */
int take_table_at(pv_paging *p, uint64_t gpa, uint8_t level);
void drop_table(pv_paging *p, uint64_t frame);
void untake_table(pv_paging *p, uint64_t frame); /* as if it had not been taken */

/* Stores an entry of a table, with all that it means. `at`: the entry's GPA / 8. */
int replace_entry(pv_paging *p, uint64_t at, uint64_t entry);

/* Tells the engines what is pending. */
void settle(pv_paging *p);
void flush_all(pv_paging *p);
#endif
