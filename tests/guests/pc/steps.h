/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Debug exceptions: where each came, in which ring, and what DR6 said. */
#ifndef TEST_STEPS_H
#define TEST_STEPS_H
#include "user.h"

enum { TF = 0x100, RF = 0x10000, BS = 0x4000, STEP = 0x31 };

static word steps[24];
static volatile unsigned n_steps;
static volatile word dr6, step_flags, step_flags_inside, step_cs;
static volatile bool resume; /* breakpoints that are faults: go on behind them by RF */
volatile word watched, n_other;

static inline word read_dr6(void)
{
    word value;
    __asm__ volatile("mov %%db6, %0" : "=r"(value));
    return value;
}

static inline void set_dr6(word value)
{
    __asm__ volatile("mov %0, %%db6" : : "r"(value));
}

static inline void set_dr7(word value)
{
    __asm__ volatile("mov %0, %%db7" : : "r"(value));
}

/* The gate of #DB leads to entry STEP, so that the steps come here. */
static inline void handler(struct frame *frame)
{
    if (frame->vector == LEAVE) {
        back_to_kernel(frame);
        return;
    }
    if (frame->vector != STEP) {
        n_other++;
        return;
    }
    word flags;
    __asm__ volatile("pushf; pop %0" : "=r"(flags));
    if (n_steps < 24)
        steps[n_steps++] = frame->ip;
    dr6 = read_dr6();
    set_dr6(0xffff0ff0);
    step_flags = frame->flags;
    step_flags_inside = flags;
    step_cs = frame->cs;
    if (resume)
        frame->flags |= RF;
}

static inline void tell(const char *name)
{
    print(name);
    print(":");
    for (unsigned i = 0; i < n_steps; i++) {
        print(steps[i] - try_begin < 4096 ? " +" : " elsewhere");
        if (steps[i] - try_begin < 4096)
            print_hex(steps[i] - try_begin);
    }
    print(n_steps ? "\n" : " nothing\n");
    n_steps = 0;
}

/* In ring 0 and in ring 3, with TF set and cleared by the instructions themselves. */
#define SET_TF "pushf; orl $0x100, (%%" SP "); popf; "
#define CLEAR_TF "pushf; andl $~0x100, (%%" SP "); popf; "
#define RUN(insns, ...)                                                                               \
    __asm__ volatile(PUSH_ALL "mov" S " $8f, try_begin; mov %%" SP ", try_sp; mov" S " $9f, try_resume; 8: " insns \
                     "; 9: mov try_sp, %%" SP "; " POP_ALL : : __VA_ARGS__ : "memory", "cc")
#define BOTH(name, insns, ...)                                                                        \
    do {                                                                                              \
        RUN(insns, __VA_ARGS__);                                                                      \
        tell(name);                                                                                   \
        RUN_USER(insns, __VA_ARGS__);                                                                 \
        tell("  in ring 3");                                                                          \
    } while (0)

static inline void steps_set_up(void)
{
    user_set_up();
    on_interrupt = handler;
    set_gate(1, ENTRY(STEP), CODE, 0x8e, 0);
    set_gate(0x30, ENTRY(0x30), CODE, 0xee, 0);
}
#endif
