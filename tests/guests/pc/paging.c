/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A kernel's own page tables: rights, accessed and dirty bits, page sizes, INVLPG, address spaces. */
#include "pc.h"

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
#define NX (1ull << 63)
#define MIB (1u << 20)

#ifdef __x86_64__
typedef uint64_t entry;
extern entry table4[512], table3[512], table2[512];
#define LARGE (2 * MIB)
static entry directory2[512] __attribute__((aligned(4096)));
#define HIGH ((char *)0x40000000) /* an address that has no RAM, to map frames at */
#else
typedef uint32_t entry;
static entry DIRECTORY[1024] __attribute__((aligned(4096)));
#define LARGE (4 * MIB)
#define HIGH ((char *)0x40000000)
#endif

static entry low[4096 / sizeof(entry)] __attribute__((aligned(4096)));
static volatile char frames[4][4096] __attribute__((aligned(4096)));

static void show_bits(const char *name, entry value)
{
    show(name, value & (P | W | U | A | D));
}

/* HIGH and the 512 (or 1024) pages after it, by the table `low`. */
static void map_low_table(void)
{
#ifdef __x86_64__
    table3[1] = (word)directory2 | P | W;
    directory2[0] = (word)low | P | W;
#else
    DIRECTORY[(word)HIGH >> 22] = (word)low | P | W;
#endif
}

static entry *large_entry(void)
{
#ifdef __x86_64__
    return &directory2[4];
#else
    return &DIRECTORY[((word)HIGH >> 22) + 4];
#endif
}

static void flush(void)
{
    write_cr3(read_cr3());
}

static void small_pages(void)
{
    map_low_table();
    for (unsigned i = 0; i < 4; i++) {
        frames[i][0] = (char)('a' + i);
        low[i] = (word)frames[i] | P | W;
    }
    low[1] = (word)frames[1] | P;
    show("four pages", (uint64_t)HIGH[0] << 24 | HIGH[4096] << 16 | HIGH[8192] << 8 | HIGH[12288]);
    show_bits("entry after a read", low[0]);
    HIGH[1] = 1;
    show_bits("entry after a write", low[0]);
    show_bits("entry of one only read", low[2]);
    TRY("write to a read-only page", "movb $1, 0x40001000");
    TRY("read of a page that is not there", "mov 0x40004000, %%al");
    TRY("write to a page that is not there", "movb $1, 0x40004fff");
    TRY("a read across both", "mov 0x40003ffe, %%eax");
    word cr0 = read_cr0();
    write_cr0(cr0 & ~0x10000ul);
    TRY("write to a read-only page without WP", "movb $1, 0x40001001");
    show_bits("its entry", low[1]);
    write_cr0(cr0 | 0x10000);
    TRY("and with WP again", "movb $1, 0x40001002");
    low[2] = (word)frames[3] | P | W;
    invlpg(HIGH + 8192);
    show("after INVLPG", HIGH[8192]);
    low[2] = (word)frames[0] | P | W;
    flush();
    show("after a write of CR3", HIGH[8192]);
    low[2] = 0;
    invlpg(HIGH + 8192);
    TRY("after it was unmapped", "mov 0x40002000, %%al");
    low[2] = (word)frames[2] | P | W;
    TRY("after it was mapped again, with no flush", "mov 0x40002000, %%al");
    low[2] = (word)frames[2] | P | U;
    invlpg(HIGH + 8192);
    TRY("a user page", "mov 0x40002000, %%al");
    TRY("a write to a read-only user page", "movb $1, 0x40002000");
}

static void large_pages(void)
{
    volatile char *at = HIGH + 4 * LARGE;
    *(volatile char *)(16 * MIB) = '0';
    *(volatile char *)(16 * MIB + LARGE - 4096) = '1';
    *(volatile char *)(24 * MIB) = '2';
    *(volatile char *)(24 * MIB + LARGE - 4096) = '3';
    *large_entry() = 16 * MIB | P | W | PS;
    show("a large page", (uint64_t)at[0] << 8 | at[LARGE - 4096]);
    show_bits("its entry after a read", *large_entry());
    at[1] = 1;
    show_bits("its entry after a write", *large_entry());
    *large_entry() = 24 * MIB | P | W | PS;
    invlpg(at);
    show("another large page", (uint64_t)at[0] << 8 | at[LARGE - 4096]);
    *large_entry() = 16 * MIB | P | W | PS;
    invlpg(at + LARGE / 2 + 12);
    show("the first again", (uint64_t)at[0] << 8 | at[LARGE - 4096]);
    *large_entry() = 16 * MIB | 1u << 13 | P | W | PS;
    *large_entry() |= sizeof(entry) == 8 ? 0 : 1u << 21;
    invlpg(at);
    trap.count = 0;
    TRY("a large page with a reserved bit", "mov (%0), %%al", "r"(at));
    *large_entry() = 16 * MIB | P | PS;
    invlpg(at);
    TRY("a write to a read-only large page", "movb $1, (%0)", "r"(at));
}

static void address_spaces(void)
{
    static entry other[4096 / sizeof(entry)] __attribute__((aligned(4096)));
    word first = read_cr3();
    low[0] = (word)frames[0] | P | W | G;
#ifdef __x86_64__
    static entry other3[512] __attribute__((aligned(4096))), other2[512] __attribute__((aligned(4096))),
        other1[512] __attribute__((aligned(4096)));
    other[0] = (word)other3 | P | W;
    other3[0] = table3[0];
    other3[1] = (word)other2 | P | W;
    other2[0] = (word)other1 | P | W;
    other1[1] = (word)frames[3] | P | W;
#else
    static entry other1[1024] __attribute__((aligned(4096)));
    for (unsigned i = 0; i < 16; i++)
        other[i] = DIRECTORY[i];
    other[(word)HIGH >> 22] = (word)other1 | P | W;
    other1[1] = (word)frames[3] | P | W;
#endif
    for (unsigned i = 0; i < 3; i++) {
        show("here", HIGH[4096]);
        write_cr3((word)other);
        show("there", HIGH[4096]);
        write_cr3(first);
    }
}

#ifdef __x86_64__
static void no_execute(void)
{
    frames[0][0] = (char)0xc3;
    low[0] = (word)frames[0] | P | W | NX;
    flush();
    TRY("a call of a page that is NX", "call *%0", "r"(HIGH));
    low[0] = (word)frames[0] | P | W;
    invlpg(HIGH);
    TRY("and of one that is not", "call *%0", "r"(HIGH));
    directory2[0] |= NX;
    flush();
    TRY("and below a table that is NX", "call *%0", "r"(HIGH));
    directory2[0] &= ~NX;
    wrmsr(0xc0000080, rdmsr(0xc0000080) & ~0x800ull);
    low[0] |= NX;
    invlpg(HIGH);
    TRY("NX without NXE is reserved", "mov 0x40000000, %%al");
    TRY("for a fetch as well", "call *%0", "r"(HIGH));
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x800);
    low[0] = 0;
    flush();
    table4[511] = (word)table3 | P | W; /* the last 512 GiB: a kernel in the upper half */
    table3[511] = (word)table2 | P | W;
    show("the same by the upper half", gdt[1] == *(volatile uint64_t *)(0xffffffffc0000000 + (word)&gdt[1]));
    TRY("an address below them", "mov %0, %%rax; mov (%%rax), %%al", "i"(0xffffffff80000000));
    table4[5] |= PS | P;
    TRY("PS in the highest table is reserved", "mov %0, %%rax; mov (%%rax), %%al", "i"(5ull << 39));
}
#endif

int main(void)
{
#ifndef __x86_64__
    for (unsigned i = 0; i < 16; i++)
        DIRECTORY[i] = i * LARGE | P | W | PS;
    write_cr4(read_cr4() | 0x10); /* PSE */
    write_cr3((word)DIRECTORY);
    write_cr0(read_cr0() | 0x80010000);
#endif
    write_cr4(read_cr4() | 0x80); /* PGE */
    small_pages();
    large_pages();
    address_spaces();
#ifdef __x86_64__
    no_execute();
#endif
    return 0;
}
