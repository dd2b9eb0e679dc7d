/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The trap flag, and instructions that trap by themselves. */
#define _GNU_SOURCE
#include "groups.h"
#include "trap.h"

#include <signal.h>
#include <string.h>

#define MAX_STEPS 64

static volatile uintptr_t seen[MAX_STEPS];
static volatile unsigned n_seen;
static volatile int codes_wrong;

static void on_step(int signal, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    (void)signal;
    codes_wrong += info->si_code != TRAP_TRACE || registers[REG_TRAPNO] != 1;
    if (n_seen < MAX_STEPS)
        seen[n_seen++] = (uintptr_t)registers[REG_RIP];
}

static void check_steps_at(const char *name, const char *const *wanted, unsigned n_wanted)
{
    unsigned n_wrong = n_seen != n_wanted;
    for (unsigned i = 0; i < n_wanted && i < n_seen; i++)
        n_wrong += seen[i] != (uintptr_t)wanted[i];
    unsigned first = 0;
    while (first < n_wanted && first < n_seen && seen[first] == (uintptr_t)wanted[first])
        first++;
    check(n_wrong == 0 && codes_wrong == 0, name, "%u steps instead of %u, the first other is number %u (%+ld), %d codes wrong",
          n_seen, n_wanted, first, first < n_wanted && first < n_seen ? (long)(seen[first] - (uintptr_t)wanted[first]) : 0,
          codes_wrong);
    n_seen = 0;
    codes_wrong = 0;
}

#define STEPPING "pushf; orq $0x100, (%%rsp); popf\n"
#define NOT_STEPPING "pushf; andq $~0x100, (%%rsp); popf\n"

extern const char plain_1[], plain_2[], plain_3[], plain_4[], plain_5[], plain_6[];

static void plain(void)
{
    static const char *const wanted[] = {plain_1, plain_2, plain_3, plain_4, plain_5, plain_6};
    __asm__ volatile(STEPPING
                     ".globl plain_1, plain_2, plain_3, plain_4, plain_5, plain_6\n"
                     "nop\nplain_1: add $1, %%eax\nplain_2: jmp plain_3\nud2\nplain_3: " NOT_STEPPING "plain_6: nop\n"
                     ".set plain_4, plain_3 + 1\n.set plain_5, plain_4 + 8\n"
                     : : : "rax", "memory", "cc");
    check_steps_at("steps.plain", wanted, ARRAY_LENGTH(wanted));
}

extern const char string_at[], string_end[], string_2[], string_3[], string_4[];

/* A repeated instruction traps after each of its rounds. */
static void repeated(void)
{
    static char from[5] = "abcd", to[5];
    static const char *const wanted[] = {string_at, string_at, string_at, string_at, string_end, string_2, string_3, string_4};
    const char *source = from;
    char *target = to;
    uint64_t n = 4;
    __asm__ volatile(STEPPING
                     ".globl string_at, string_end, string_2, string_3, string_4\n"
                     "nop\nstring_at: rep movsb\nstring_end: " NOT_STEPPING
                     ".set string_2, string_end + 1\n.set string_3, string_2 + 8\n.set string_4, string_3 + 1\nnop"
                     : "+S"(source), "+D"(target), "+c"(n) : : "memory", "cc");
    check(!memcmp(from, to, 4), "steps.repeated_copy", "%.4s", to);
    check_steps_at("steps.repeated", wanted, ARRAY_LENGTH(wanted));
}

extern const char call_1[], call_2[], call_3[], call_4[], call_5[];

static void over_int_80(void)
{
    static const char *const wanted[] = {call_1, call_2, call_3, call_4, call_5};
    __asm__ volatile(STEPPING
                     ".globl call_1, call_2, call_3, call_4, call_5\n"
                     "nop\ncall_1: mov $20, %%eax\ncall_2: int $0x80\n"
                     "call_3: " NOT_STEPPING ".set call_4, call_3 + 1\n.set call_5, call_4 + 8\nnop"
                     : : : "rax", "r8", "r9", "r10", "r11", "memory", "cc");
    /* INT is not a step of its own: the next trap comes behind the instruction after it. */
    unsigned n = n_seen;
    bool right = (n == 4 || n == 5 || n == 6) && seen[0] == (uintptr_t)call_1 && seen[1] == (uintptr_t)call_2;
    check(right, "steps.over_int_80", "%u steps", n);
    (void)wanted;
    n_seen = 0;
}

extern const char ss_1[], ss_2[], ss_3[], ss_4[], ss_5[], ss_6[];

/* MOV SS holds the trap back for one instruction. */
static void behind_mov_ss(void)
{
    static const char *const wanted[] = {ss_1, ss_3, ss_4, ss_5, ss_6};
    __asm__ volatile("mov %%ss, %%eax\n" STEPPING
                     ".globl ss_1, ss_2, ss_3, ss_4, ss_5, ss_6\n"
                     "nop\nss_1: mov %%eax, %%ss\nss_2: nop\nss_3: " NOT_STEPPING
                     ".set ss_4, ss_3 + 1\n.set ss_5, ss_4 + 8\n.set ss_6, ss_5 + 1\nnop"
                     : : : "rax", "memory", "cc");
    check_steps_at("steps.behind_mov_ss", wanted, ARRAY_LENGTH(wanted));
}

static void breakpoint(void *context)
{
    (void)context;
    __asm__ volatile("int3");
}

static void breakpoint_long(void *context)
{
    (void)context;
    __asm__ volatile(".byte 0xcd, 0x03");
}

static void icebp(void *context)
{
    (void)context;
    __asm__ volatile(".byte 0xf1");
}

static void interrupt_4(void *context)
{
    (void)context;
    __asm__ volatile("int $4");
}

static void interrupt_50(void *context)
{
    (void)context;
    __asm__ volatile("int $0x50");
}

static void interrupt_13(void *context)
{
    (void)context;
    __asm__ volatile("int $13");
}

static void interrupt_14(void *context)
{
    (void)context;
    __asm__ volatile("int $14");
}

static void interrupt_1(void *context)
{
    (void)context;
    __asm__ volatile("int $1");
}

static void by_themselves(void)
{
    struct trap trap = trap_in(breakpoint, NULL);
    check_trap("steps.int3", &trap, SIGTRAP, 0x80, 0);
    check_equal("steps.int3_rip", *(unsigned char *)(uintptr_t)(trap.registers[REG_RIP] - 1), 0xcc);
    trap = trap_in(breakpoint_long, NULL);
    check_trap("steps.int_3", &trap, SIGTRAP, 0x80, 0);
    trap = trap_in(icebp, NULL);
    check_unless_known(trap.signal == SIGTRAP && trap.code == TRAP_BRKPT, "steps.icebp",
                       "#UD: the emulation lane's engine has no INT1");
    trap = trap_in(interrupt_4, NULL);
    check(trap.signal == SIGSEGV && trap.registers[REG_TRAPNO] == 4, "steps.int_4", "signal %d, vector %lld",
          trap.signal, (long long)trap.registers[REG_TRAPNO]);
    static const struct {
        const char *name;
        void (*function)(void *);
        unsigned vector;
    } refused[] = {{"steps.int_50", interrupt_50, 0x50},
                   {"steps.int_13", interrupt_13, 13},
                   {"steps.int_14", interrupt_14, 14},
                   {"steps.int_1", interrupt_1, 1}};
    for (unsigned i = 0; i < ARRAY_LENGTH(refused); i++) {
        trap = trap_in(refused[i].function, NULL);
        bool refused_at_all = trap.signal == SIGSEGV && trap.registers[REG_TRAPNO] == 13;
        check(refused_at_all, refused[i].name, "signal %d, vector %lld", trap.signal, (long long)trap.registers[REG_TRAPNO]);
        if (refused_at_all && trap.registers[REG_ERR] != (greg_t)(refused[i].vector * 8 + 2)) {
            char name[40] = {0};
            strcat(strcpy(name, refused[i].name), "_error");
            check_unless_known(false, name, "the error code is the vector * 16, as QEMU's engine has it");
        }
    }
}

void check_steps(void)
{
    use_alternate_stack();
    handle_signal(SIGTRAP, on_step, SA_ONSTACK);
    plain();
    repeated();
    over_int_80();
    behind_mov_ss();
    signal(SIGTRAP, SIG_DFL);
    by_themselves();
}
