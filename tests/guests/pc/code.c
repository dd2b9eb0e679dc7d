/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Code that changes: itself, its neighbour, another page, through another address, and right after it was written. */
#include "code.h"

static uint8_t page[3 * 4096] __attribute__((aligned(4096)));

int main(void)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < 200; i++) {
        write_function(page, i);
        sum += ((function *)page)();
    }
    show("rewritten 200 times", sum);

    /* Two functions in one page; each run is followed by a change of the other. */
    sum = 0;
    for (unsigned i = 0; i < 100; i++) {
        write_function(page + 256 * (i & 1), i);
        sum += ((function *)page)() + ((function *)(page + 256 * (i & 1)))();
    }
    show("two in one page", sum);

    /* Data beside code: movl $0, counter; addl 7 times; in the same page. */
    volatile uint32_t *counter = (volatile uint32_t *)(page + 2048);
    *counter = 0;
    for (unsigned i = 0; i < 300; i++) {
        ++*counter;
        ((function *)page)();
    }
    show("data beside code", *counter);

    /* A function that changes its own next instruction: movb $7, 1f + 1; 1: mov $0, %eax; ret. */
    uint32_t at = (uint32_t)(word)page + 4096;
#ifdef __x86_64__
    fill(page + 4096, "\xc6\x04\x25    \x07\xb8\0\0\0\0\xc3", 14);
    at += 9;
    fill(page + 4096 + 3, (char *)&at, 4);
#else
    fill(page + 4096, "\xc6\x05    \x07\xb8\0\0\0\0\xc3", 13);
    at += 8;
    fill(page + 4096 + 2, (char *)&at, 4);
#endif
    show("changes its next instruction", ((function *)(page + 4096))());
    show("and again", ((function *)(page + 4096))());

    /* A function that counts its own runs in its immediate: incl 1f + 1; 1: mov $0, %eax; ret. */
#ifdef __x86_64__
    fill(page + 4096, "\xff\x04\x25    \xb8\0\0\0\0\xc3", 13);
    at = (uint32_t)(word)page + 4096 + 8;
    fill(page + 4096 + 3, (char *)&at, 4);
#else
    fill(page + 4096, "\xff\x05    \xb8\0\0\0\0\xc3", 12);
    at = (uint32_t)(word)page + 4096 + 7;
    fill(page + 4096 + 2, (char *)&at, 4);
#endif
    sum = 0;
    for (unsigned i = 0; i < 100; i++)
        sum += ((function *)(page + 4096))();
    show("counts its runs", sum);

    /* A function that lies across two pages, whose second half changes. */
    write_function(page + 8192 - 3, 0x11223344);
    show("across two pages", ((function *)(page + 8192 - 3))());
    page[8192 + 1] = 0x55;
    show("its second half changed", ((function *)(page + 8192 - 3))());
    page[8192 - 2] = 0x66;
    show("its first half changed", ((function *)(page + 8192 - 3))());

    /* rep movsb writes the code that runs next. */
    static uint8_t source[6];
    for (unsigned i = 0; i < 20; i++) {
        write_function(source, 1000 + i);
        void *to = page, *from = source;
        word n = 6;
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
        sum += ((function *)page)();
    }
    show("copied 20 times", sum);
    return 0;
}
