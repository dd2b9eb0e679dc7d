/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code that changes under a user's feet: written by the kernel, by the user, by another address, by another
 * address space, within one loop and by the instruction before. x86 needs no flush; a jump or less is enough.
 */
#include "code.h"
#include "pages.h"
#include "user.h"

static uint8_t frames[4][PAGE] __attribute__((aligned(PAGE)));
static struct space other;

static word run(word at)
{
    result = 0xdead;
    RUN_USER("call *%0; mov %%" AX ", result", "r"(at));
    if (trap.count)
        report("in there");
    return result;
}

static void by_the_kernel(void)
{
    word sum = 0;
    map(0, frames[0], P | U); /* the user may only read and run it */
    for (unsigned i = 0; i < 100; i++) {
        write_function(frames[0], i);
        sum += run((word)HIGH);
    }
    show("the kernel writes, the user runs", sum);
    USER("the user may not write", "movb $1, 0x40000000");
    sum = 0;
    for (unsigned i = 0; i < 100; i++) {
        frames[0][1] = (uint8_t)i; /* one byte of it */
        sum += run((word)HIGH);
    }
    show("one byte", sum);
    /* An instruction that the user has just run becomes one that traps, and the other way round. */
    unsigned trapped = 0;
    for (unsigned i = 0; i < 20; i++) {
        frames[0][0] = i & 1 ? 0x90 : 0xf4; /* nop or hlt, then clc; ret */
        frames[0][1] = 0xf8;
        frames[0][2] = 0xc3;
        RUN_USER("call *%0", "r"(HIGH));
        trapped += trap.count && trap.vector == 13;
    }
    show("NOP and HLT in turns", trapped);
    unsigned stopped = 0;
    for (unsigned i = 0; i < 20; i++) { /* a breakpoint as a debugger sets it */
        write_function(frames[0], 5);
        if (i & 1)
            frames[0][0] = 0xcc;
        RUN_USER("call *%0", "r"(HIGH));
        stopped += trap.count && trap.vector == 3;
    }
    show("INT3 set and taken away", stopped);
}

/* In ring 3: writes mov $CX, %eax; ret at DI, runs it at SI, adds what comes; 100 times. CPUID serializes, as has
   to be done where the two addresses differ (SDM 3A 11.6). */
#ifdef __x86_64__
#define R(name) "%%r" name
#else
#define R(name) "%%e" name
#endif
#define WRITE_AND_RUN                                                                                 \
    "movb $0xb8, (" R("di") "); movb $0xc3, 5(" R("di") "); xor %%ebx, %%ebx; xor %%ecx, %%ecx\n"     \
    "1: mov %%ecx, 1(" R("di") "); push " R("bx") "; push " R("cx") "; xor %%eax, %%eax; cpuid; pop " R("cx") "; pop " \
    R("bx") "; call *" R("si") "; add %%eax, %%ebx; inc %%ecx; cmp $100, %%ecx; jb 1b\n" \
    "mov " R("bx") ", result"

static void by_the_user(void)
{
    map(0, frames[0], P | WRITE | U);
    map(1, frames[0], P | WRITE | U);
    map(2, frames[1], P | WRITE | U);
    RUN_USER(WRITE_AND_RUN, "D"(HIGH), "S"(HIGH));
    show("the user writes and runs", result);
    RUN_USER(WRITE_AND_RUN, "D"(HIGH + PAGE), "S"(HIGH));
    show("by another address", result);
    RUN_USER(WRITE_AND_RUN, "D"(HIGH + PAGE), "S"(frames[0]));
    show("by two others", result);
    map(0, frames[0], P | U);
    RUN_USER(WRITE_AND_RUN, "D"(HIGH + PAGE), "S"(HIGH));
    show("read-only where it runs, writable where not", result);
    map(0, frames[0], P | WRITE | U);
    RUN_USER(WRITE_AND_RUN, "D"(HIGH + 2 * PAGE - 3), "S"(HIGH + 2 * PAGE - 3));
    show("across two pages", result);
    write_function(frames[0], 0x4242);
    RUN_USER("mov $0x40000000, %%esi; mov $0x40002100, %%edi; mov $6, %%ecx; rep movsb; "
        "mov $0x40002100, %%eax; call *%%" AX
             "; mov %%" AX ", result");
    show("copied by REP MOVSB", result);
    RUN_USER("movb $7, 1f + 1; 1: mov $1, %%eax; mov %%" AX ", result");
    show("the next instruction", result);
    RUN_USER("xor %%ecx, %%ecx; 1: mov $0, %%eax; incb 1b + 1; inc %%ecx; cmp $50, %%ecx; jb 1b; "
        "mov %%" AX ", result");
    show("an instruction behind, in a loop", result);
    RUN_USER("jmp 1f; .balign 64; 1: mov $100, %%ecx; xor %%eax, %%eax; 2: add $1, %%eax; cmpb $50, %%cl; "
        "jne 3f; movb $2, 2b + 2; "
             "3: dec %%ecx; jnz 2b; mov %%" AX ", result");
    show("the loop it is in, once", result);
    RUN_USER("mov $0x9090, %%eax; mov %%ax, 1f; 1: ud2; mov $0x11, %%eax; mov %%" AX ", result");
    show("UD2 that becomes two NOPs", trap.count);
    show("  it went on", result);
}

/* The user changes code that the kernel runs, as both may. */
static void of_the_kernel(void)
{
    word sum = 0;
    for (unsigned i = 0; i < 50; i++) {
        RUN_USER("movb $0xb8, 0x40000200; mov %k0, 0x40000201; movb $0xc3, 0x40000205", "r"((word)i));
        word value;
        __asm__ volatile("call *%1" : "=a"(value) : "r"(frames[0] + 0x200) : "memory");
        sum += value;
    }
    show("the user writes, the kernel runs", sum);
}

static void by_another_space(void)
{
    fill_space(&other);
    other.low[0] = (word)frames[0] | P | WRITE | U;
    space.low[5] = (word)frames[0] | P | U;
    word sum = 0;
    for (unsigned i = 0; i < 50; i++) {
        use_space(&other);
        RUN_USER("movb $0xb8, 0x40000300; mov %k0, 0x40000301; movb $0xc3, 0x40000305", "r"((word)i));
        use_space(&space);
        sum += run((word)HIGH + 5 * PAGE + 0x300);
    }
    show("written in another address space", sum);
    sum = 0;
    for (unsigned i = 0; i < 50; i++) { /* one frame goes, another comes with the same address */
        write_function(frames[2] + 0x40, i);
        write_function(frames[3] + 0x40, 1000);
        map(6, frames[2 + (i & 1)], P | U);
        sum += run((word)HIGH + 6 * PAGE + 0x40);
    }
    show("remapped in turns", sum);
}

/* A page that was data becomes code and data again. */
static void turns(void)
{
    word sum = 0;
    map(7, frames[3], P | WRITE | U);
    for (unsigned i = 0; i < 50; i++) {
        volatile uint32_t *data = (volatile uint32_t *)(frames[3] + 0x800);
        *data = i;
        write_function(frames[3], i);
        RUN_USER("incl 0x40007800; mov $0x40007000, %%eax; call *%%" AX "; add 0x40007800, %%eax; "
            "mov %%" AX ", result");
        sum += result;
        RUN_USER("mov $0x40007000, %%edi; mov $0x55, %%al; mov $64, %%ecx; rep stosb");
        sum += frames[3][63];
    }
    show("code and data in turns", sum);
}

int main(void)
{
    user_set_up();
    set_gate(3, ENTRY(3), CODE, 0xee, 0);
    paging_set_up();
    by_the_kernel();
    by_the_user();
    of_the_kernel();
    by_another_space();
    turns();
    return 0;
}
