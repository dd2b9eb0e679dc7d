/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCIDs: when CR4.PCIDE may be set, what CR3 takes then, and what must have been flushed when an entry of the tables
 * has changed (SDM 3A 4.10). What need not be flushed is not looked at: a CPU may forget whatever it likes.
 */
#include "pages.h"

enum { PGE = 1 << 7, PCIDE = 1 << 17 };
#define KEEP (1ull << 63)

static struct space other;
static uint8_t first[PAGE] __attribute__((aligned(PAGE))), second[PAGE] __attribute__((aligned(PAGE)));

static void enter(const struct space *to, uint64_t bits)
{
    write_cr3((word)to->root | bits);
}

/* The page is what it was at first: 1. Both spaces have seen it by both PCIDs. */
static void begin(entry bits)
{
    write_cr4(read_cr4() & ~(word)PGE);
    write_cr4(read_cr4() | PGE);
    space.low[0] = other.low[0] = (word)first | P | bits;
    for (uint64_t pcid = 7; pcid >= 5; pcid -= 2) {
        enter(&other, pcid);
        (void)*HIGH;
        enter(&space, pcid);
        (void)*HIGH;
    }
}

static void change(void)
{
    space.low[0] = other.low[0] = (space.low[0] & (P | G | WRITE)) | (word)second;
}

int main(void)
{
    uint32_t a = 1, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    show("offered", c >> 17 & 1);
    paging_set_up();
    fill_space(&other);
    first[0] = 1;
    second[0] = 2;
    word cr3 = read_cr3(), cr4 = read_cr4();
    TRY("bit 63 of CR3 without PCIDE", "mov %0, %%cr3", "r"(cr3 | KEEP));
    write_cr3(cr3 | 0x18);
    TRY("PCIDE while CR3 has other bits", "mov %0, %%cr4", "r"(cr4 | PCIDE));
    write_cr3(cr3);
    TRY("PCIDE", "mov %0, %%cr4", "r"(cr4 | PCIDE));
    show("CR4.PCIDE", read_cr4() >> 17 & 1);
    TRY("bit 62 of CR3", "mov %0, %%cr3", "r"(cr3 | 1ul << 62));
    enter(&space, 0xabc | KEEP);
    show("PCID in CR3", read_cr3() & 0xfff);
    show("bit 63 in CR3", read_cr3() >> 63);

    begin(0);
    change();
    enter(&space, 5);
    show("a load of CR3", *HIGH);
    begin(0);
    change();
    invlpg(HIGH);
    show("INVLPG", *HIGH);
    begin(0);
    change();
    enter(&space, 7);
    show("a load of CR3 with another PCID", *HIGH);
    begin(0);
    change();
    enter(&other, 5);
    enter(&space, 5 | KEEP);
    show("a load of CR3 with the same PCID and other tables", *HIGH);
    begin(G);
    change();
    invlpg(HIGH);
    enter(&space, 7 | KEEP);
    show("INVLPG of a global page, under another PCID", *HIGH);
    begin(G);
    change();
    write_cr4(read_cr4() & ~(word)PGE);
    enter(&space, 7 | KEEP);
    show("a change of CR4.PGE, under another PCID", *HIGH);
    enter(&other, 5 | KEEP);
    show("and in other tables", *HIGH);
    begin(0);
    enter(&space, 0);
    write_cr4(read_cr4() & ~(word)PCIDE);
    change();
    write_cr4(read_cr4() | PCIDE);
    write_cr4(read_cr4() & ~(word)PCIDE);
    show("PCIDE set and cleared", *HIGH);
    write_cr4(read_cr4() | PCIDE);
    enter(&space, 7 | KEEP);
    show("and under another PCID", *HIGH);
    return 0;
}
