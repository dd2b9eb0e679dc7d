/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 32-bit paging with 64-bit entries (PAE): three levels, 2 MiB pages, NX. */
#include "pc.h"

enum { P = 1, W = 2, A = 0x20, D = 0x40, PS = 0x80 };
#define NX (1ull << 63)
#define HIGH ((volatile char *)0xc0000000)

static uint64_t pointers[4] __attribute__((aligned(32)));
static uint64_t directory[512] __attribute__((aligned(4096))), high[512] __attribute__((aligned(4096)));
static uint64_t table[512] __attribute__((aligned(4096)));
static volatile char frames[3][4096] __attribute__((aligned(4096)));

int main(void)
{
    for (unsigned i = 0; i < 32; i++)
        directory[i] = (uint64_t)i << 21 | P | W | PS;
    pointers[0] = (word)directory | P;
    pointers[3] = (word)high | P;
    high[0] = (word)table | P | W;
    high[1] = 0x1000000 | P | W | PS;
    for (unsigned i = 0; i < 3; i++) {
        frames[i][0] = (char)('a' + i);
        table[i] = (word)frames[i] | P | W;
    }
    table[2] |= NX;
    frames[1][0] = frames[2][0] = (char)0xc3;
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x800);
    write_cr4(read_cr4() | 0x20);
    write_cr3((word)pointers);
    write_cr0(read_cr0() | 0x80010000);
    show("EFER", rdmsr(0xc0000080) & 0xd00);
    show("a page", (uint8_t)HIGH[0]);
    show("its entry", table[0] & 0xfff);
    HIGH[4] = 1;
    show("its entry after a write", table[0] & 0xfff);
    TRY("a call", "call *%0", "r"(HIGH + 4096));
    TRY("a call of a page that is NX", "call *%0", "r"(HIGH + 8192));
    TRY("a page that is not there", "mov 0xc0003000, %%al");
    TRY("a write to a directory that is not there", "movb $1, 0x80000000");
    *(volatile char *)0x1001234 = 'x';
    show("a large page", (uint8_t)HIGH[0x201234]);
    high[1] = 0x1002000 | P | W | PS;
    invlpg((void *)(HIGH + 0x200000));
    TRY("with a reserved bit", "mov 0xc0201234, %%al");
    high[1] = 0x1200000 | P | PS;
    invlpg((void *)(HIGH + 0x200000));
    TRY("read-only", "movb $1, 0xc0201234");
    high[1] = 0x1400000 | P | W | PS;
    *(volatile char *)0x1401234 = 'y';
    invlpg((void *)(HIGH + 0x300000));
    show("another large page", (uint8_t)HIGH[0x201234]);
    write_cr0(read_cr0() & ~0x80000000);
    show("without paging", *(volatile char *)0x1401234);
    return 0;
}
