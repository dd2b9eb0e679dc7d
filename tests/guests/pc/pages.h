/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paging for the bare guests, in the mode they are built for: four levels in 64-bit kernels, PAE where PAE is
 * defined, else two levels. The first 64 MiB are one to one, open to the user; the pages at HIGH are those of
 * `low`, which a test fills.
 */
#ifndef TEST_PAGES_H
#define TEST_PAGES_H
#include "pc.h"

enum { P = 1, WRITE = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
#define NX (1ull << 63) /* not with two levels */
#define HIGH ((volatile uint8_t *)0x40000000)
#define PAGE 4096

#if defined __x86_64__ || defined PAE
typedef uint64_t entry;
#else
typedef uint32_t entry;
#endif
#define N_ENTRIES (PAGE / sizeof(entry))

/* An address space: the highest table first. */
struct space {
    entry root[N_ENTRIES], middle[N_ENTRIES], directory[N_ENTRIES], low[N_ENTRIES];
} __attribute__((aligned(PAGE)));
static struct space space;
#ifdef __x86_64__
extern entry table4[512], table3[512], table2[512];
#elif defined PAE
static entry table2[512] __attribute__((aligned(PAGE)));
#endif

/* The first 64 MiB, and the tables that lead to `low`. */
static inline void fill_space(struct space *to)
{
    entry open = P | WRITE | U;
#ifdef __x86_64__
    to->root[0] = (word)to->middle | open;
    to->middle[0] = (word)table2 | open;
    to->middle[1] = (word)to->directory | open;
    to->directory[0] = (word)to->low | open;
    for (unsigned i = 0; i < 32; i++)
        table2[i] |= U;
#elif defined PAE
    to->root[0] = (word)table2 | P;
    to->root[1] = (word)to->directory | P;
    to->directory[0] = (word)to->low | open;
    for (unsigned i = 0; i < 32; i++)
        table2[i] = (entry)i << 21 | open | PS;
#else
    for (unsigned i = 0; i < 16; i++)
        to->root[i] = i << 22 | open | PS;
    to->root[(word)HIGH >> 22] = (word)to->low | open;
#endif
}

static inline void use_space(const struct space *to)
{
    write_cr3((word)to->root);
}

static inline void flush(void)
{
    write_cr3(read_cr3());
}

/* Paging with WP, in `space`. */
static inline void paging_set_up(void)
{
    fill_space(&space);
#ifdef PAE
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x800);
    write_cr4(read_cr4() | 0x20);
#elif !defined __x86_64__
    write_cr4(read_cr4() | 0x10);
#endif
    use_space(&space);
    write_cr0(read_cr0() | 0x80010000);
}

static inline void map(unsigned page, volatile void *frame, entry bits)
{
    space.low[page] = (word)frame | bits;
    invlpg(HIGH + page * PAGE);
}
#endif
