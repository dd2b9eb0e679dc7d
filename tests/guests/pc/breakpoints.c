/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Breakpoints by the debug registers: where each comes, and what DR6 says. */
#include "steps.h"

static void breakpoint(unsigned n, volatile const void *at, unsigned kind, unsigned size)
{
    word where = (word)at;
    switch (n) {
    case 0: __asm__ volatile("mov %0, %%db0" : : "r"(where)); break;
    case 1: __asm__ volatile("mov %0, %%db1" : : "r"(where)); break;
    case 2: __asm__ volatile("mov %0, %%db2" : : "r"(where)); break;
    default: __asm__ volatile("mov %0, %%db3" : : "r"(where)); break;
    }
    set_dr7(0x400 | 2u << 2 * n | (word)(kind | size << 2) << (16 + 4 * n));
}

extern const char stop_here[];

static void __attribute__((noinline)) run_past(bool ring_3)
{
    if (ring_3)
        RUN_USER("call past");
    else
        RUN("call past");
}
__asm__(".text; past: nop; .globl stop_here; stop_here: nop; mov watched, %eax; incl watched; ret");

static void breakpoints(void)
{
    set_dr6(0xffff0ff0);
    resume = true;
    for (unsigned n = 0; n < 4; n++) {
        breakpoint(n, stop_here, 0, 0);
        run_past(false);
        show("to be run: how often", n_steps);
        show("  before it", steps[0] == (word)stop_here);
        show("  DR6 names it", dr6 >> n & 1);
        show("  RF in the frame", step_flags & RF);
        n_steps = 0;
    }
    run_past(true);
    show("in ring 3: how often", n_steps);
    show("  CS in the frame", step_cs);
    n_steps = 0;
    resume = false;
    breakpoint(1, &watched, 1, 3);
    run_past(false);
    show("a write: how often", n_steps);
    show("  behind it", steps[0] > (word)stop_here + 5);
    show("  DR6 names it", dr6 >> 1 & 1);
    n_steps = 0;
    run_past(true);
    show("in ring 3: how often", n_steps);
    n_steps = 0;
    breakpoint(2, &watched, 3, 3);
    run_past(false);
    show("a read and a write: how often", n_steps);
    n_steps = 0;
    breakpoint(2, (volatile uint8_t *)&watched + 3, 1, 0);
    run_past(false);
    show("a byte of it", n_steps);
    n_steps = 0;
    breakpoint(2, (volatile uint8_t *)&watched + sizeof watched, 3, 0);
    run_past(false);
    show("the byte behind it", n_steps);
    n_steps = 0;
    set_dr7(0x400);
    run_past(false);
    show("disabled", n_steps);
    n_steps = 0;
}

int main(void)
{
    steps_set_up();
    breakpoints();
    return 0;
}
