/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Single steps by TF in both rings, breakpoints by the debug registers, INT1: where each comes,
   and what DR6 says. */
#include "user.h"

enum { TF = 0x100, RF = 0x10000, BS = 0x4000, STEP = 0x31 };

static word steps[24];
static volatile unsigned n_steps;
static volatile word dr6, step_flags, step_flags_inside, step_cs;
static volatile bool resume; /* breakpoints that are faults: go on behind them by RF */
volatile word watched, n_other;

static word read_dr6(void)
{
    word value;
    __asm__ volatile("mov %%db6, %0" : "=r"(value));
    return value;
}

static void set_dr6(word value)
{
    __asm__ volatile("mov %0, %%db6" : : "r"(value));
}

static void set_dr7(word value)
{
    __asm__ volatile("mov %0, %%db7" : : "r"(value));
}

/* The gate of #DB leads to entry STEP, so that the steps come here. */
static void handler(struct frame *frame)
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

static void tell(const char *name)
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

static void stepping(void)
{
    RUN(SET_TF "nop; nop; " CLEAR_TF "nop; nop");
    show("DR6.BS", dr6 & (BS | 15));
    show("TF in the frame", step_flags & TF);
    show("TF in the handler", step_flags_inside & TF);
    show("CS in the frame", step_cs);
    tell("NOPs");
    RUN_USER(SET_TF "nop; nop; " CLEAR_TF "nop; nop");
    show("DR6.BS", dr6 & (BS | 15));
    show("CS in the frame", step_cs);
    tell("  in ring 3");
    BOTH("a branch taken, one not", SET_TF "xor %%eax, %%eax; jz 1f; nop; 1: jnz 1b; " CLEAR_TF "nop");
    BOTH("REP STOSB of 3", "mov $result, %%edi; mov $3, %%ecx; " SET_TF "rep stosb; " CLEAR_TF "nop");
    BOTH("REP STOSB of none", "mov $result, %%edi; xor %%ecx, %%ecx; " SET_TF "rep stosb; " CLEAR_TF "nop");
    BOTH("a load and a store", SET_TF "mov watched, %%eax; mov %%eax, result; " CLEAR_TF "nop");
    BOTH("CALL and RET", "jmp 2f; 1: ret; 2: " SET_TF "call 1b; nop; " CLEAR_TF "nop");
    RUN("mov %%ss, %%eax; " SET_TF "mov %%eax, %%ss; nop; nop; " CLEAR_TF);
    tell("MOV SS: none behind it");
    RUN(SET_TF "cli; pushf; popf; " CLEAR_TF);
    tell("CLI, PUSHF, POPF");
    RUN(SET_TF "mov %%cr0, %%" AX "; mov %%" AX ", %%cr0; " CLEAR_TF);
    tell("MOV CR0");
    user_flags = 2 | TF;
    RUN_USER("nop; nop; " CLEAR_TF "nop");
    tell("TF by IRET to ring 3");
    user_flags = 2;
    n_other = 0;
    RUN("pushf; orl $0x100, (%%" SP "); popf; int $0x30; nop; " CLEAR_TF "nop");
    show("INT n: its handler runs", n_other);
    tell("INT n: not inside, not right behind");
    RUN_USER("pushf; orl $0x100, (%%" SP "); popf; int $0x30; nop; " CLEAR_TF "nop");
    tell("  in ring 3");
}

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
    user_set_up();
    on_interrupt = handler;
    set_gate(1, ENTRY(STEP), CODE, 0x8e, 0);
    set_gate(0x30, ENTRY(0x30), CODE, 0xee, 0);
    stepping();
    set_gate(1, ENTRY(1), CODE, 0x8e, 0);
    TRY("INT1", ".byte 0xf1");
    USER("INT1 in ring 3", ".byte 0xf1");
    TRY("INT 1", ".byte 0xcd, 1");
    USER("INT 1 in ring 3", ".byte 0xcd, 1");
    set_gate(1, ENTRY(STEP), CODE, 0x8e, 0);
    breakpoints();
    return 0;
}
