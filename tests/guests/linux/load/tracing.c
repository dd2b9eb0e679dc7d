/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A debugger's work: single steps, breakpoints, system calls, and memory and registers of another process. */
#define _GNU_SOURCE
#include "groups.h"
#include "tracer.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern const char walk_begin[], walk_end[], walk_loop[];
static volatile uint64_t walked;

/* 3 + 3 * 10 + 1 instructions between the marks. */
static void walk(void)
{
    uint64_t sum = 0;
    __asm__ volatile(".globl walk_begin, walk_end, walk_loop\n"
                     "walk_begin: mov $10, %%ecx; xor %%eax, %%eax; nop\n"
                     "walk_loop: add %%rcx, %%rax; dec %%ecx; jnz walk_loop\n"
                     "mov %%rax, %0\nwalk_end: nop"
                     : "+r"(sum) : : "rax", "rcx", "cc");
    walked = sum;
    _exit((int)sum);
}

static void single_steps(void)
{
    pid_t child = trace_start(walk);
    if (!child) {
        skip("tracing", "nothing may be traced here");
        return;
    }
    long word = ptrace(PTRACE_PEEKTEXT, child, walk_begin, NULL);
    ptrace(PTRACE_POKETEXT, child, walk_begin, (void *)((word & ~0xffl) | 0xcc));
    check_equal("tracing.breakpoint", (uint64_t)trace_go(child, PTRACE_CONT, 0), SIGTRAP);
    struct user_regs_struct registers = trace_registers(child);
    check_equal("tracing.breakpoint_rip", registers.rip, (uintptr_t)walk_begin + 1);
    ptrace(PTRACE_POKETEXT, child, walk_begin, (void *)word);
    registers.rip = (uintptr_t)walk_begin;
    trace_set_registers(child, &registers);
    unsigned n_steps = 0, n_loops = 0, n_flags = 0;
    while (n_steps < 1000 && trace_go(child, PTRACE_SINGLESTEP, 0) == SIGTRAP) {
        registers = trace_registers(child);
        n_steps++;
        n_loops += registers.rip == (uintptr_t)walk_loop;
        n_flags += (registers.eflags & 0x100) != 0; /* the debugger's TF is not the program's */
        if (registers.rip == (uintptr_t)walk_end)
            break;
    }
    check(n_steps == 34 && n_loops == 10 && n_flags == 0, "tracing.single_steps", "%u steps, %u loops, %u with TF",
          n_steps, n_loops, n_flags);
    int status;
    ptrace(PTRACE_CONT, child, NULL, NULL);
    waitpid(child, &status, 0);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 55, "tracing.to_the_end", "status %#x", status);
}

extern const char flags_begin[];

static void push_flags(void)
{
    uint64_t flags;
    __asm__ volatile(".globl flags_begin\nflags_begin: nop; pushf; pop %0; nop" : "=r"(flags));
    _exit(flags & 0x100 ? 1 : 0);
}

/* PUSHF of a program that is stepped shows a TF that it does not have: the kernel has to help. */
static void stepped_pushf(void)
{
    pid_t child = trace_start(push_flags);
    int signal;
    for (unsigned i = 0; i < 20000; i++) {
        signal = trace_go(child, PTRACE_SINGLESTEP, 0);
        if (signal != SIGTRAP)
            break;
        if (trace_registers(child).rip == (uintptr_t)flags_begin + 4)
            break;
    }
    int status;
    ptrace(PTRACE_CONT, child, NULL, NULL);
    waitpid(child, &status, 0);
    check(WIFEXITED(status), "tracing.stepped_pushf", "status %#x", status);
}

static void call_twice(void)
{
    syscall(SYS_getpid);
    syscall(SYS_getppid);
}

static void system_calls(void)
{
    pid_t child = trace_start(call_twice);
    unsigned n_pid = 0, n_parent = 0;
    ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)PTRACE_O_TRACESYSGOOD);
    for (unsigned i = 0; i < 50 && trace_go(child, PTRACE_SYSCALL, 0) == (SIGTRAP | 0x80); i++) {
        struct user_regs_struct registers = trace_registers(child);
        n_pid += registers.orig_rax == SYS_getpid;
        n_parent += registers.orig_rax == SYS_getppid;
    }
    check(n_pid == 2 && n_parent == 2, "tracing.system_calls", "%u and %u stops", n_pid, n_parent);
}

static uint64_t shown = 0x1122334455667788;

static void give_signal(void)
{
    raise(SIGUSR1);
    _exit(shown == 42 ? 0 : 1);
}

static void memory_and_signals(void)
{
    pid_t child = trace_start(give_signal);
    check_equal("tracing.peek", (uint64_t)ptrace(PTRACE_PEEKDATA, child, &shown, NULL), shown);
    ptrace(PTRACE_POKEDATA, child, &shown, (void *)42);
    check_equal("tracing.signal", (uint64_t)trace_go(child, PTRACE_CONT, 0), SIGUSR1);
    int status;
    ptrace(PTRACE_CONT, child, NULL, NULL); /* without the signal */
    waitpid(child, &status, 0);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0 && shown != 42, "tracing.poke", "status %#x", status);
}

static uint64_t fpu_value;

static void wait_with_fpu(void)
{
    uint64_t value = 0x1111, after;
    __asm__ volatile("movq %1, %%xmm5; int3; movq %%xmm5, %0" : "=r"(after) : "r"(value) : "xmm5");
    fpu_value = after;
    _exit(after == 0x2222 ? 0 : 1);
}

static void fpu(void)
{
    pid_t child = trace_start(wait_with_fpu);
    struct user_fpregs_struct registers;
    trace_go(child, PTRACE_CONT, 0);
    ptrace(PTRACE_GETFPREGS, child, NULL, &registers);
    check_equal("tracing.fpu", registers.xmm_space[20], 0x1111);
    registers.xmm_space[20] = 0x2222;
    ptrace(PTRACE_SETFPREGS, child, NULL, &registers);
    int status;
    ptrace(PTRACE_CONT, child, NULL, NULL);
    waitpid(child, &status, 0);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "tracing.fpu_changed", "status %#x", status);
}

/* A whole program by single steps, through the kernel's calls and libc's string instructions. */
static void much_work(void)
{
    char from[300], to[300];
    memset(from, 7, sizeof from);
    memcpy(to, from, sizeof from);
    const char *source = from;
    char *target = to;
    uint64_t n = 100;
    __asm__ volatile("rep movsb" : "+S"(source), "+D"(target), "+c"(n) : : "memory");
    for (unsigned i = 0; i < 20; i++)
        syscall(SYS_getppid);
    _exit(to[5] * 6);
}

static void stepped_program(void)
{
    pid_t child = trace_start(much_work);
    unsigned n_steps = 0;
    int status = 0;
    for (; n_steps < 5000; n_steps++) {
        ptrace(PTRACE_SINGLESTEP, child, NULL, NULL);
        waitpid(child, &status, 0);
        if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
            break;
    }
    check(WIFEXITED(status) && WEXITSTATUS(status) == 42, "tracing.stepped_program", "status %#x after %u steps", status,
          n_steps);
    if (!WIFEXITED(status))
        trace_end(child);
}

void check_tracing(void)
{
    single_steps();
    stepped_pushf();
    system_calls();
    memory_and_signals();
    fpu();
    stepped_program();
}
