/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Code that is changed through another address than the one it runs at. */
#include "code.h"

enum { P = 1, W = 2 };
#define HIGH ((volatile uint8_t *)0x40000000)

extern uint64_t table3[512];
static uint64_t directory[512] __attribute__((aligned(4096))), table[512] __attribute__((aligned(4096)));
static uint8_t page[4096] __attribute__((aligned(4096)));

int main(void)
{
    table3[1] = (word)directory | P | W;
    directory[0] = (word)table | P | W;
    table[0] = table[1] = (word)page | P | W;
    unsigned sum = 0;
    for (unsigned i = 0; i < 200; i++) {
        write_function(HIGH + 4096 * (i & 1), i);
        sum += ((function *)page)() + ((function *)HIGH)();
    }
    show("written at one address, run at another", sum);

    /* The same after the page has stored into itself: incl 64(page); ret. */
    static const char self[] = "\xff\x04\x25\0\0\0\0\xc3";
    for (unsigned i = 0; i < 8; i++)
        page[128 + i] = (uint8_t)self[i];
    *(volatile uint32_t *)(page + 131) = (uint32_t)(word)page + 64;
    ((function *)(page + 128))();
    ((function *)(page + 128))();
    show("a page that stores into itself", *(volatile uint32_t *)(page + 64) & 3);
    sum = 0;
    for (unsigned i = 0; i < 200; i++) {
        write_function(HIGH + 4096 * (i & 1), i);
        sum += ((function *)page)() + ((function *)HIGH)();
    }
    show("and after it stored into itself", sum);

    /* Through an address that may not run, whose translation stays: always the same entry of the TLB. */
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x800);
    table[2] = (word)page | P | W | 1ull << 63;
    sum = 0;
    for (unsigned i = 0; i < 200; i++) {
        write_function(HIGH + 2 * 4096, i);
        sum += ((function *)HIGH)();
    }
    show("written where it may not run", sum);
    return 0;
}
