/* SPDX-License-Identifier: GPL-2.0-or-later */
/* REP MOVS and REP STOS of every width: over pages, downwards, over themselves, over code, and with nothing to do. */
#include "pc.h"

static uint8_t memory[5 * 4096] __attribute__((aligned(4096)));
static uint8_t code[4096] __attribute__((aligned(4096)));

static unsigned checksum(void)
{
    unsigned sum = 1;
    for (unsigned i = 0; i < sizeof memory; i++)
        sum = sum * 31 + memory[i];
    return sum;
}

static void fill(void)
{
    for (unsigned i = 0; i < sizeof memory; i++)
        memory[i] = (uint8_t)(i * 7 + i / 256);
}

#define STOS(name, insn, at, count, down)                                                            \
    do {                                                                                             \
        void *to = memory + (at);                                                                    \
        word n = (count);                                                                            \
        fill();                                                                                      \
        __asm__ volatile(down "; rep " insn "; cld" : "+D"(to), "+c"(n) : "a"(0x12345678) : "memory"); \
        show(name, checksum());                                                                      \
        show("  ended at", (word)((uint8_t *)to - memory) + n);                                      \
    } while (0)

#define MOVS(name, insn, to_at, from_at, count, down)                                                \
    do {                                                                                             \
        void *to = memory + (to_at), *from = memory + (from_at);                                     \
        word n = (count);                                                                            \
        fill();                                                                                      \
        __asm__ volatile(down "; rep " insn "; cld" : "+D"(to), "+S"(from), "+c"(n) : : "memory");   \
        show(name, checksum());                                                                      \
        show("  ended at", (word)((uint8_t *)to - memory) + (word)((uint8_t *)from - memory) + n);   \
    } while (0)

int main(void)
{
    STOS("stosb", "stosb", 100, 9000, "cld");
    STOS("stosw", "stosw", 101, 4000, "cld");
    STOS("stosl", "stosl", 4093, 2000, "cld");
    STOS("stosb downwards", "stosb", 9000, 8500, "std");
    STOS("stosl, none", "stosl", 64, 0, "cld");
    STOS("stosl, one", "stosl", 64, 1, "cld");
    MOVS("movsb", "movsb", 9000, 50, 6000, "cld");
    MOVS("movsb over itself, a byte on", "movsb", 51, 50, 9000, "cld");
    MOVS("movsl over itself, two bytes on", "movsl", 52, 50, 3000, "cld");
    MOVS("movsl over itself, back", "movsl", 50, 53, 3000, "cld");
    MOVS("movsw downwards", "movsw", 12000, 6001, 3000, "std");
#ifdef __x86_64__
    STOS("stosq", "stosq", 4090, 1500, "cld");
    MOVS("movsq", "movsq", 8191, 3, 1000, "cld");
    MOVS("movsq over itself, three bytes on", "movsq", 70, 67, 1100, "cld");
#endif
    /* Over a function that has run: RET everywhere, and then it is called again. */
    void *to = code;
    word n = 512, called = 0;
    for (unsigned i = 0; i < 64; i++)
        code[i] = 0x90;
    code[64] = 0xc3;
    ((void (*)(void))code)();
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(0xc3) : "memory");
    ((void (*)(void))code)();
    for (unsigned i = 0; i < 512; i++)
        called += code[i] == 0xc3;
    show("over code", called);
    return 0;
}
