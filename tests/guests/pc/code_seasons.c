/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code that is changed for a while, then runs for long as it is, then is changed again: as a kernel patches itself. The
 * function that changes it lies in the same page as often as not.
 */
#include "code.h"

typedef void writer(volatile uint8_t *at, uint8_t value);

static uint8_t pages[3][4096] __attribute__((aligned(4096)));

/* Stores its second argument through its first, by an instruction in the page itself. */
static writer *write_writer(uint8_t *at)
{
#ifdef __x86_64__
    static const char code[] = "\x40\x88\x37\xc3";             /* mov %sil, (%rdi); ret */
#else
    static const char code[] = "\x8b\x44\x24\x04\x8a\x54\x24\x08\x88\x10\xc3"; /* by the stack */
#endif
    for (unsigned i = 0; i < sizeof code - 1; i++)
        at[i] = (uint8_t)code[i];
    return (writer *)at;
}

/* What is written by turns, of the same length: mov $1, %eax; nop; nop; nop; ret. mov $CS, %eax; lar %eax, %eax; ret. */
enum { BYTES = 9 };
static uint8_t bodies[2][BYTES] = {{0xb8, 1, 0, 0, 0, 0x90, 0x90, 0x90, 0xc3}, {0xb8, 0, 0, 0, 0, 0x0f, 0x02, 0xc0, 0xc3}};
static unsigned answers[2] = {1};

static void set_up(void)
{
    unsigned cs;
    __asm__ volatile("mov %%cs, %0" : "=r"(cs));
    bodies[1][1] = (uint8_t)cs;
    __asm__ volatile("lar %1, %0" : "=r"(answers[1]) : "r"(cs) : "cc");
    show("code segment", answers[1] >> 8 & 0xfe);
}

/* Each call must do what was written last. */
static unsigned season(function *f, volatile uint8_t *at, writer *write, unsigned n_changes, unsigned n_calls)
{
    unsigned wrong = 0;
    for (unsigned i = 0; i < n_changes; i++) {
        for (unsigned byte = 0; byte < BYTES; byte++)
            write(at + byte, bodies[i & 1][byte]);
        for (unsigned call = 0; call < n_calls; call++)
            wrong += f() != answers[i & 1];
    }
    return wrong;
}

static void by_turns(const char *name, uint8_t *page, writer *write)
{
    unsigned wrong = 0;
    function *f = write_function(page + 64, 0x100), *neighbour = write_function(page + 256, 7);
    for (unsigned i = 0; i < 4; i++) {
        wrong += season(f, page + 64, write, 61, 2);
        wrong += season(f, page + 64, write, 2, 5000);
        for (unsigned call = 0; call < 3000; call++)
            wrong += neighbour() != 7;
    }
    show(name, wrong);
}

int main(void)
{
    set_up();
    by_turns("changed from elsewhere", pages[0], write_writer(pages[2]));
    by_turns("changed from its own page", pages[1], write_writer(pages[1]));
    return 0;
}
