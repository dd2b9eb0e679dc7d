/* SPDX-License-Identifier: GPL-2.0-or-later */
/* INVLPG of any address in a large page drops the whole page, wherever it was used. */
#include "pc.h"

enum { P = 1, W = 2, PS = 0x80 };

#ifdef __x86_64__
extern uint64_t table3[512];
#define SIZE (1u << 30)
#else
static uint32_t directory[1024] __attribute__((aligned(4096)));
#define SIZE (4u << 20)
#endif

int main(void)
{
    volatile char *at = (volatile char *)0x40000000;
#ifdef __x86_64__
    volatile uint64_t *entry = &table3[1];
#else
    for (unsigned i = 0; i < 16; i++)
        directory[i] = i * SIZE | P | W | PS;
    write_cr4(read_cr4() | 0x10);
    write_cr3((word)directory);
    write_cr0(read_cr0() | 0x80010000);
    volatile uint32_t *entry = &directory[256];
#endif
    *entry = P | W | PS;
    at[0x300000] = 'a';
    show("written", *(char *)0x300000);
    *entry = P | PS;
    invlpg(at + SIZE - 4096);
    TRY("a write after it became read-only", "movb $1, 0x40300000");
    *entry = P | W | PS;
    TRY("and writable", "movb $2, 0x40300000");
    *entry = 0;
    invlpg(at);
    TRY("and was unmapped", "mov 0x40300000, %%al");
    *entry = 0x2000 | P | W | PS;
#ifdef __x86_64__
    TRY("with a reserved bit", "mov 0x40300000, %%al");
#endif
    return 0;
}
