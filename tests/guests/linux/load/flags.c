/* SPDX-License-Identifier: GPL-2.0-or-later */
/* RFLAGS by PUSHF and POPF in user code, and over system calls, signals and interrupts. */
#define _GNU_SOURCE
#include "groups.h"
#include "trap.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CF 0x1ull
#define IF 0x200ull
#define DF 0x400ull
#define IOPL 0x3000ull
#define NT 0x4000ull
#define AC 0x40000ull
#define VIF 0x180000ull
#define ID 0x200000ull

static uint64_t flags(void)
{
    uint64_t value;
    __asm__ volatile("pushf; pop %0" : "=r"(value));
    return value;
}

/* RFLAGS is VALUE between two instructions, and what can be seen of it then. */
static uint64_t try(uint64_t value)
{
    uint64_t seen;
    __asm__ volatile("pushf; push %1; popf; pushf; pop %0; popf" : "=&r"(seen) : "r"(value) : "memory", "cc");
    return seen;
}

static void set_and_seen(void)
{
    uint64_t base = flags();
    check_equal("flags.base", base & (IF | IOPL | NT | AC | VIF | 2), IF | 2);
    static const uint64_t bits[] = {CF, 4, 0x10, 0x40, 0x80, 0x800, DF, NT, AC, ID};
    unsigned n_wrong = 0;
    for (unsigned i = 0; i < ARRAY_LENGTH(bits); i++) {
        n_wrong += !(try(base | bits[i]) & bits[i]);
        n_wrong += !!(try(base & ~bits[i]) & bits[i]);
    }
    check_equal("flags.user_bits", n_wrong, 0);
    check_equal("flags.if_stays", try(base & ~IF) & IF, IF);
    check_equal("flags.iopl_stays", try(base | IOPL) & IOPL, 0);
    check_equal("flags.reserved", try(base | 0xffffffffffc0802aull) & 0xffffffffffc0802aull, 2);
    check_equal("flags.virtual_bits", try(base | VIF) & VIF, 0);
}

static void short_forms(void)
{
    uint16_t word;
    __asm__ volatile("pushfw; orw $0x401, (%%rsp); popfw; pushfw; pop %0; cld" : "=r"(word) : : "memory", "cc");
    check_equal("flags.16_bits", word & 0x401, 0x401);
    uint64_t high = try(flags() | ID | AC), after;
    __asm__ volatile("push %1; popf; pushfw; popfw; pushf; pop %0; push %2; popf"
                     : "=&r"(after) : "r"(high), "r"(flags()) : "memory", "cc");
    check_equal("flags.16_bits_keep", after & (ID | AC), ID | AC);
}

/* SYSCALL loses nothing of RFLAGS but what the ABI says: R11 and RCX. */
static void over_syscall(void)
{
    uint64_t wanted = (flags() | DF | CF | ID | 0x800) & ~0x40ull, seen, r11;
    __asm__ volatile("push %2; popf; mov %3, %%eax; syscall; pushf; pop %0; mov %%r11, %1; cld"
                     : "=&r"(seen), "=&r"(r11)
                     : "r"(wanted), "i"(SYS_getppid)
                     : "rax", "rcx", "r11", "memory", "cc");
    check_equal("flags.over_syscall", seen & 0x200ed5 & ~0x200ull, wanted & 0x200ed5 & ~0x200ull);
    check_equal("flags.r11", r11 & 0xcd5, wanted & 0xcd5);
    __asm__ volatile("push %1; popf; mov $20, %%eax; int $0x80; pushf; pop %0; cld"
                     : "=&r"(seen) : "r"(wanted) : "rax", "r8", "r9", "r10", "r11", "memory", "cc");
    check_equal("flags.over_int_80", seen & 0x200cd5, wanted & 0x200cd5);
}

static volatile uint64_t handler_flags, frame_flags;

static void look(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info;
    handler_flags = flags();
    frame_flags = (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

static void over_signal(void)
{
    uint64_t wanted = flags() | DF | CF | ID | AC, seen;
    handle_signal(SIGILL, look, 0);
    __asm__ volatile("push %1; popf; ud2; pushf; pop %0; push %2; popf; cld"
                     : "=&r"(seen) : "r"(wanted), "r"(flags()) : "memory", "cc");
    signal(SIGILL, SIG_DFL);
    check_equal("flags.in_handler", handler_flags & DF, 0);
    check_equal("flags.in_frame", frame_flags & (DF | CF | ID | AC), DF | CF | ID | AC);
    check_equal("flags.after_handler", seen & (DF | CF | ID | AC), DF | CF | ID | AC);
}

/* A long time with unusual flags: interrupts come and go. */
static void over_interrupts(void)
{
    uint64_t wanted = flags() | DF | ID | CF, seen = 0;
    unsigned n_wrong = 0;
    for (unsigned i = 0; i < 40; i++) {
        uint64_t n = 100000;
        __asm__ volatile("push %2; popf\n1: lea -1(%1), %1; jrcxz 2f; jmp 1b\n2: pushf; pop %0; cld"
                         : "=&r"(seen), "+c"(n) : "r"(wanted) : "memory", "cc");
        n_wrong += (seen & (DF | ID | CF)) != (DF | ID | CF);
    }
    check_equal("flags.over_interrupts", n_wrong, 0);
}

static void misaligned(void *context)
{
    uint64_t before = flags(), value;
    __asm__ volatile("push %1; popf; mov 1(%2), %0; push %3; popf"
                     : "=&r"(value) : "r"(before | AC), "r"(context), "r"(before) : "memory", "cc");
}

/* NT in user code is nobody's affair, but IRET would take it for a task switch. */
static void nested_task(void)
{
    uint64_t seen;
    __asm__ volatile("pushf; orq $0x4000, (%%rsp); popf; mov %1, %%eax; syscall; pushf; pop %0\n"
                     "pushf; andq $~0x4000, (%%rsp); popf"
                     : "=r"(seen) : "i"(SYS_getppid) : "rax", "rcx", "r11", "memory", "cc");
    check_equal("flags.nested_task", seen & (NT | IF), NT | IF);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t n = 100000;
        __asm__ volatile("pushf; orq $0x4000, (%%rsp); popf\n1: dec %0; jnz 1b\npushf; andq $~0x4000, (%%rsp); popf"
                         : "+r"(n) : : "memory", "cc");
    }
    check(true, "flags.nested_task_interrupted", " ");
}

void check_flags(void)
{
    static uint64_t words[4] __attribute__((aligned(16)));
    set_and_seen();
    short_forms();
    over_syscall();
    over_signal();
    over_interrupts();
    nested_task();
    struct trap trap = trap_in(misaligned, words);
    uint64_t now = flags();
    __asm__ volatile("push %0; popf" : : "r"(now & ~AC) : "memory", "cc");
    check_unless_known(trap.signal == SIGBUS && trap.code == BUS_ADRALN, "flags.alignment",
                       "no #AC: this engine checks no alignment");
}
