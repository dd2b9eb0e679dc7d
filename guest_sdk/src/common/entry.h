/* SPDX-License-Identifier: MIT */
/* Bits of a page-table entry (SDM 3A, 4.5.4). */
#ifndef PV_SRC_ENTRY_H
#define PV_SRC_ENTRY_H

#define ENTRY_P        0x001ull
#define ENTRY_W        0x002ull
#define ENTRY_USER     0x004ull
#define ENTRY_PCD      0x010ull /* never from a cache */
#define ENTRY_ACCESSED 0x020ull
#define ENTRY_DIRTY    0x040ull
#define ENTRY_LARGE    0x080ull
#define ENTRY_NX       0x8000000000000000ull
#define ENTRY_ADDRESS  0x000ffffffffff000ull

#define N_ENTRIES 512 /* of a table */
#define TOP_LEVEL 4   /* 1 is that of the pages */

#endif /* PV_SRC_ENTRY_H */
