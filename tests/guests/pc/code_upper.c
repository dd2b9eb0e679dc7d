/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Code that changes in the upper half of the address space, where kernels run, by linear addresses far from physical ones. */
#include "code.h"

enum { P = 1, W = 2, PAGE = 4096 };
#define NX (1ull << 63)
#define UPPER ((volatile uint8_t *)0xffff800000000000)

extern uint64_t table4[512];
static struct {
    uint64_t third[512], second[512], first[512];
} tables __attribute__((aligned(PAGE)));
static uint8_t frame[2][PAGE] __attribute__((aligned(PAGE)));

static void map(unsigned page, const uint8_t *to, uint64_t rights)
{
    *(volatile uint64_t *)&tables.first[page] = (word)to | P | rights;
}

static unsigned run(volatile uint8_t *at)
{
    return ((function *)at)();
}

/* Each store is done before, too, by an address whose translation the CPU knows. */
static unsigned in_turns(volatile uint8_t *written, volatile uint8_t *executed)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < 200; i++) {
        written[PAGE / 2] = (uint8_t)i;
        write_function(written, i);
        sum += run(executed);
    }
    return sum;
}

int main(void)
{
    table4[256] = (word)tables.third | P | W;
    tables.third[0] = (word)tables.second | P | W;
    tables.second[0] = (word)tables.first | P | W;
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x800);
    for (unsigned i = 0; i < 2; i++)
        map(i, frame[i], W);
    map(2, frame[0], W);
    show("rewritten 200 times", in_turns(UPPER, UPPER));
    show("by another address", in_turns(UPPER + 2 * PAGE, UPPER));
    show("by one far below", in_turns(frame[0], UPPER));
    show("run far below", in_turns(UPPER, frame[0]));
    show("in two pages", in_turns(UPPER + PAGE - 3, UPPER + PAGE - 3));

    /* movb $7, 1(%rip) is followed by mov $0, %eax; ret. Then incl 1(%rip). */
    fill(UPPER, "\xc6\x05\1\0\0\0\7\xb8\0\0\0\0\xc3", 13);
    show("changes its next instruction", run(UPPER) + run(UPPER));
    fill(UPPER, "\xff\x05\1\0\0\0\xb8\0\0\0\0\xc3", 12);
    unsigned sum = 0;
    for (unsigned i = 0; i < 100; i++)
        sum += run(UPPER);
    show("counts its runs", sum);

    /* Data, then code, with no word to the CPU: a right more needs none (SDM 3A 4.10.4.3). */
    map(3, frame[1], W | NX);
    write_function(UPPER + 3 * PAGE, 1);
    map(3, frame[1], W);
    sum = run(UPPER + 3 * PAGE);
    for (unsigned i = 0; i < 50; i++) {
        write_function(UPPER + 3 * PAGE, i);
        sum += run(UPPER + 3 * PAGE);
    }
    show("that could not run before", sum);
    map(3, frame[1], 0);
    invlpg(UPPER + 3 * PAGE);
    sum = run(UPPER + 3 * PAGE);
    map(3, frame[1], W);
    for (unsigned i = 0; i < 50; i++) {
        write_function(UPPER + 3 * PAGE, i);
        sum += run(UPPER + 3 * PAGE);
    }
    show("that could not be written", sum);
    return 0;
}
