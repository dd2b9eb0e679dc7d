/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signals: the frame, other stacks, nesting, masks, and restarted system calls. */
#define _GNU_SOURCE
#include "groups.h"
#include "trap.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile unsigned n_came, depth, deepest;
static volatile uintptr_t handler_stack;

static void count(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    n_came++;
    handler_stack = (uintptr_t)__builtin_frame_address(0);
}

static void nest(int signal, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    if (++depth > deepest)
        deepest = depth;
    n_came++;
    if (depth < 30)
        raise(signal);
    depth--;
}

static void plain(void)
{
    handle_signal(SIGUSR1, count, 0);
    n_came = 0;
    for (unsigned i = 0; i < 5000; i++)
        raise(SIGUSR1);
    check_equal("signals.many", n_came, 5000);
    handle_signal(SIGUSR2, nest, SA_NODEFER);
    n_came = 0;
    raise(SIGUSR2);
    check(n_came == 30 && deepest == 30 && depth == 0, "signals.nested", "%u came, %u deep", n_came, deepest);
}

static void stacks(void)
{
    char *stack = map_pages(16, PROT_READ | PROT_WRITE);
    stack_t other = {.ss_sp = stack, .ss_size = 16 * PAGE_BYTES}, now;
    sigaltstack(&other, NULL);
    handle_signal(SIGUSR1, count, SA_ONSTACK);
    raise(SIGUSR1);
    check(handler_stack - (uintptr_t)stack < 16 * PAGE_BYTES, "signals.other_stack", "handler at %#lx",
          (unsigned long)handler_stack);
    sigaltstack(NULL, &now);
    check_equal("signals.off_stack", (uint64_t)now.ss_flags, 0);
    stack_t none = {.ss_flags = SS_DISABLE};
    sigaltstack(&none, NULL);
    raise(SIGUSR1);
    check(handler_stack - (uintptr_t)stack >= 16 * PAGE_BYTES, "signals.own_stack", "handler at %#lx",
          (unsigned long)handler_stack);
}

static int fault_without_stack(void *context)
{
    handle_signal(SIGSEGV, count, 0);
    __asm__ volatile("mov %0, %%rsp; push %%rax" : : "r"(context));
    return 0;
}

static volatile int values_seen;

static void take_value(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    values_seen = values_seen * 10 + info->si_value.sival_int;
}

static void queued(void)
{
    sigset_t both, before;
    sigemptyset(&both);
    sigaddset(&both, SIGRTMIN), sigaddset(&both, SIGRTMIN + 1);
    handle_signal(SIGRTMIN, take_value, 0), handle_signal(SIGRTMIN + 1, take_value, 0);
    sigprocmask(SIG_BLOCK, &both, &before);
    for (int i = 1; i <= 3; i++)
        sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i});
    sigprocmask(SIG_SETMASK, &before, NULL);
    check(values_seen == 123, "signals.queued", "order %d", values_seen);
}

static int send_later(void *context)
{
    usleep(20000);
    kill(*(pid_t *)context, SIGUSR1);
    return 0;
}

static void restarted(void)
{
    int ends[2];
    char byte;
    pid_t self = getpid();
    if (pipe(ends))
        _exit(1);
    handle_signal(SIGUSR1, count, 0);
    pid_t sender = start_process(send_later, &self);
    ssize_t n = read(ends[0], &byte, 1);
    check(n < 0 && errno == EINTR, "signals.interrupted", "read gave %zd", n);
    wait_for(sender);
    handle_signal(SIGUSR1, count, SA_RESTART);
    n_came = 0;
    sender = start_process(send_later, &self);
    int status = wait_for(sender);
    check(status == 0 && n_came == 1, "signals.restarted", "status %d, %u came", status, n_came);
}

/* A handler's changes of general registers, and of RIP, are what the program goes on with. */
static void change(int signal, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    (void)signal, (void)info;
    registers[REG_RBX] += 1;
    registers[REG_R8] ^= -1;
    registers[REG_R15] = registers[REG_RSP];
    registers[REG_RIP] += 2;
}

static void changed(void)
{
    uint64_t rbx = 41, r8 = 0x0f0f, r15 = 0, rsp;
    handle_signal(SIGILL, change, 0);
    __asm__ volatile("mov %3, %%r8; mov %%rsp, %4; ud2; mov %%r8, %0; mov %%r15, %1"
                     : "=&r"(r8), "=&r"(r15), "+b"(rbx), "+r"(r8), "=&r"(rsp) : : "r8", "r15", "memory");
    signal(SIGILL, SIG_DFL);
    check(rbx == 42 && r15 == rsp, "signals.registers_changed", "rbx %llu, r15 %#llx, rsp %#llx",
          (unsigned long long)rbx, (unsigned long long)r15, (unsigned long long)rsp);
}

/* All registers of a frame are those that the program had. */
extern const char frame_at[];

static void fill_registers(void *context)
{
    __asm__ volatile("push %%rbp\n"
                     "mov $0x1111111111111111, %%rax; mov $0x2222222222222222, %%rbx; mov $0x3333333333333333, %%rcx\n"
                     "mov $0x4444444444444444, %%rdx; mov $0x5555555555555555, %%rsi; mov $0x6666666666666666, %%rdi\n"
                     "mov $0x7777777777777777, %%rbp; mov $0x8888888888888888, %%r8; mov $0x9999999999999999, %%r9\n"
                     "mov $0xaaaaaaaaaaaaaaaa, %%r10; mov $0xbbbbbbbbbbbbbbbb, %%r11; mov $0xcccccccccccccccc, %%r12\n"
                     "mov $0xdddddddddddddddd, %%r13; mov $0xeeeeeeeeeeeeeeee, %%r14; mov $0x0123456789abcdef, %%r15\n"
                     "stc; std\n.globl frame_at\nframe_at: ud2\ncld; pop %%rbp"
                     : : "r"(context)
                     : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
                       "cc", "memory");
}

static void frame(void)
{
    static const int order[] = {REG_RAX, REG_RBX, REG_RCX, REG_RDX, REG_RSI, REG_RDI, REG_RBP,
                                REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14};
    struct trap trap = trap_in(fill_registers, NULL);
    unsigned n_wrong = 0;
    for (unsigned i = 0; i < ARRAY_LENGTH(order); i++)
        n_wrong += (uint64_t)trap.registers[order[i]] != 0x1111111111111111ull * (i + 1);
    n_wrong += trap.registers[REG_R15] != 0x0123456789abcdef;
    check(n_wrong == 0, "signals.frame_registers", "%u are others", n_wrong);
    check_exception("signals.frame_exception", &trap, SIGILL, ILL_ILLOPN, (uintptr_t)frame_at, 6, 0);
    check_equal("signals.frame_flags", (uint64_t)trap.registers[REG_EFL] & 0x7401, 0x401);
    uint64_t selectors = (uint64_t)trap.registers[REG_CSGSFS];
    check(( selectors & 0xffff) == 0x33 && selectors >> 48 == 0x2b, "signals.frame_selectors", "%#llx",
          (unsigned long long)selectors);
    uint64_t direction;
    __asm__ volatile("pushf; pop %0" : "=r"(direction));
    check_equal("signals.frame_direction", direction & 0x400, 0);
}

void check_signals(void)
{
    plain();
    stacks();
    check_equal("signals.no_stack", (uint64_t)run_process(fault_without_stack, (void *)0x1000), 256 + SIGSEGV);
    check_equal("signals.stack_in_kernel", (uint64_t)run_process(fault_without_stack, (void *)0xffff888000001000),
                256 + SIGSEGV);
    queued();
    restarted();
    changed();
    frame();
}
