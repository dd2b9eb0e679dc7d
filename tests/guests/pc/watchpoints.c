/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Breakpoints where it is not plain what an instruction meets: stacks, strings, parts of words, two at once, code beside
 * watched data, instructions that a hypervisor would emulate, I/O ports, and the debug registers themselves.
 */
#include "steps.h"

enum { EXECUTED, WRITTEN, PORT, ACCESSED };

volatile uint8_t area[3 * 4096] __attribute__((aligned(4096))), other[4096] __attribute__((aligned(4096)));
volatile word old_sp;
#define AT (area + 4096 + 64)

static word dr7_value;

static void set(unsigned n, word where, unsigned kind, unsigned bytes)
{
    unsigned size = bytes == 8 ? 2 : bytes - 1;
    switch (n) {
    case 0: __asm__ volatile("mov %0, %%db0" : : "r"(where)); break;
    case 1: __asm__ volatile("mov %0, %%db1" : : "r"(where)); break;
    case 2: __asm__ volatile("mov %0, %%db2" : : "r"(where)); break;
    default: __asm__ volatile("mov %0, %%db3" : : "r"(where)); break;
    }
    dr7_value = (dr7_value & ~((word)15 << (16 + 4 * n))) | 2u << 2 * n | (word)(kind | size << 2) << (16 + 4 * n);
    set_dr7(0x400 | dr7_value);
}

static void off(void)
{
    dr7_value = 0;
    set_dr7(0x400);
}

#define SEE(name, insns)               \
    do {                               \
        dr6 = 0;                       \
        RUN(insns);                    \
        tell(name);                    \
        show("  DR6", dr6 & 0xe00f);   \
        dr6 = 0;                       \
        RUN_USER(insns);               \
        tell("  in ring 3");           \
        show("  DR6", dr6 & 0xe00f);   \
    } while (0)
/* Where a frame of ring 0 would lie upon what is watched. */
#define SEE_USER(name, insns)          \
    do {                               \
        dr6 = 0;                       \
        RUN_USER(insns);               \
        tell(name);                    \
        show("  DR6", dr6 & 0xe00f);   \
    } while (0)
#define PLACE "area + 4160"
#ifdef __x86_64__
#define SWITCH_STACK "mov %%rsp, old_sp; mov $" PLACE " + 8, %%rsp; "
#define BACK "mov old_sp, %%rsp; "
#define WORD_BYTES "8"
#else
#define SWITCH_STACK "mov %%esp, old_sp; mov $" PLACE " + 4, %%esp; "
#define BACK "mov old_sp, %%esp; "
#define WORD_BYTES "4"
#endif

static void writes(void)
{
    set(0, (word)AT, WRITTEN, 4);
    SEE("MOV to it", "movl $1, " PLACE "; nop; nop");
    SEE("INC of it", "incl " PLACE "; nop; nop");
    SEE("MOV from it", "mov " PLACE ", %%eax; nop; nop");
    SEE("ADD of it to a register", "add " PLACE ", %%eax; nop; nop");
    SEE("a byte in it", "movb $1, " PLACE " + 3; nop");
    SEE("the byte behind it", "movb $1, " PLACE " + 4; nop");
    SEE("half of it, from before it", "movl $1, " PLACE " - 2; nop");
    SEE("XCHG", "xchg %%eax, " PLACE "; nop");
    SEE("CMPXCHG that fails", "movl $5, %%eax; lock cmpxchg %%edx, " PLACE "; nop");
    SEE("PUSH", SWITCH_STACK "push $3; nop; " BACK "nop");
    SEE("POP from it", SWITCH_STACK "lea -" WORD_BYTES "(%%" SP "), %%" SP "; pop %%" AX "; nop; " BACK "nop");
    SEE("CALL", "jmp 2f; 1: " BACK "jmp 3f; 2: " SWITCH_STACK "call 1b; 3: nop");
    SEE("REP STOSB, two before it and two in it", "cld; mov $" PLACE " - 2, %%edi; mov $4, %%ecx; rep stosb; nop");
    SEE("REP STOSB of none", "mov $" PLACE ", %%edi; xor %%ecx, %%ecx; rep stosb; nop");
    SEE("REP MOVSB from it", "cld; mov $" PLACE ", %%esi; mov $other, %%edi; mov $2, %%ecx; rep movsb; nop");
    SEE("SIDT", "sidt " PLACE "; nop");
    SEE("PUSHF", SWITCH_STACK "pushf; nop; " BACK "nop");
    off();
}

static void accesses(void)
{
    set(1, (word)AT, ACCESSED, 1);
    set(2, (word)AT + 2, ACCESSED, 2);
    SEE("two at once", "mov " PLACE ", %%eax; nop");
    SEE("the first of them", "movb " PLACE ", %%al; nop");
    SEE("neither", "movb " PLACE " + 1, %%al; nop");
    SEE_USER("POP in ring 3", SWITCH_STACK "lea -" WORD_BYTES "(%%" SP "), %%" SP "; pop %%" AX "; nop; " BACK "nop");
    SEE_USER("POPF in ring 3", "movl $2, " PLACE "; " SWITCH_STACK "lea -" WORD_BYTES "(%%" SP "), %%" SP "; popf; nop; " BACK "nop");
    SEE("MOV to a segment register", "movl $0, " PLACE "; mov " PLACE ", %%fs; nop");
    SEE("LEA", "lea " PLACE ", %%eax; nop");
    set(3, (word)other, WRITTEN, 1);
    SEE("REP MOVSB to another page, watched too", "cld; mov $" PLACE ", %%esi; mov $other, %%edi; mov $2, %%ecx; rep movsb; nop");
    off();
    set(0, (word)AT & ~7ul, WRITTEN, sizeof(word));
    SEE("as wide as a register: its last byte", "movb $1, " PLACE " + " WORD_BYTES " - 1; nop");
    off();
}

extern volatile uint32_t beside;
extern const char far_away[], stop_rep[], stop_cli[], stop_int[], stop_popf[];
__asm__(".data; .balign 4096; far_away: nop; incl beside; mov beside, %eax; nop; ret; beside: .long 0;\n"
        ".text; run_rep: cld; mov $other, %edi; mov $3, %ecx; stop_rep: rep stosb; ret\n"
        "run_cli: nop; stop_cli: cli; nop; ret\n"
        "run_int: nop; stop_int: int $0x30; nop; ret\n"
        "run_popf: pushf; stop_popf: popf; nop; ret\n");

static void code(void)
{
    resume = true;
    set(0, (word)&beside, ACCESSED, 4);
    RUN("call far_away");
    show("code beside what is watched", n_steps);
    n_steps = 0;
    RUN_USER("call far_away");
    show("  in ring 3", n_steps);
    n_steps = 0;
    set(1, (word)far_away, EXECUTED, 1);
    RUN("call far_away");
    show("  and a breakpoint before it", n_steps);
    n_steps = 0;
    off();
#define STOP(name, insns, at)                            \
    do {                                                 \
        set(2, (word)at, EXECUTED, 1);                   \
        RUN(insns);                                      \
        show(name, n_steps);                             \
        show("  before it", steps[0] == (word)at);       \
        n_steps = 0;                                     \
        off();                                           \
    } while (0)
    STOP("before CLI", "call run_cli", stop_cli);
    STOP("before INT n", "call run_int", stop_int);
    STOP("before POPF", "call run_popf", stop_popf);
    STOP("before REP STOSB of 3", "call run_rep", stop_rep);
    resume = false;
}

static void ports(void)
{
    set(0, 0x84, PORT, 4);
    write_cr4(read_cr4() | 8);
    set(0, 0x84, PORT, 4);
    RUN("outb %%al, $0x84; nop");
    tell("OUT");
    show("  DR6", dr6 & 0xe00f);
    RUN("inb $0x87, %%al; nop");
    tell("IN");
    RUN("inb $0x88, %%al; nop");
    tell("the I/O port behind them");
    RUN("outw %%ax, $0x83; nop");
    tell("OUT of a word that reaches them");
    RUN("mov $0x85, %%edx; outl %%eax, %%dx; nop");
    tell("by DX");
    RUN("mov $0x84, %%edx; mov $other, %%esi; mov $2, %%ecx; cld; rep outsb; nop");
    show("REP OUTSB of 2", n_steps);
    n_steps = 0;
    user_flags = 0x3002;
    RUN_USER("outb %%al, $0x84; nop");
    tell("in ring 3");
    user_flags = 2;
    off();
    RUN("outb %%al, $0x84; nop");
    tell("off");
    write_cr4(read_cr4() & ~8ul);
}

static void stepping(void)
{
    set(0, (word)AT, WRITTEN, 4);
    dr6 = 0;
    RUN(SET_TF "movl $1, " PLACE "; " CLEAR_TF "nop");
    tell("with TF");
    off();
}

static void registers(void)
{
    set_dr7(0x2400);
    dr6 = 0;
    RUN("mov %%db0, %%" AX "; nop");
    tell("general detect");
    show("  DR6", dr6 & 0xe00f);
    word now;
    __asm__ volatile("mov %%db7, %0" : "=r"(now));
    show("  DR7 behind it", now);
    set_dr7(0x400);
}

int main(void)
{
    steps_set_up();
    set_dr6(0xffff0ff0);
    writes();
    accesses();
    code();
    ports();
    stepping();
    registers();
    return 0;
}
