/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hardware breakpoints of another process: code, stores, loads; DR6; several; and that they go with their process. */
#include "groups.h"
#include "tracer.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENABLE(number) (1ull << ((number) * 2))
#define KIND(number, type, size) ((uint64_t)((type) | (size) << 2) << (16 + (number) * 4))
#define TYPE_CODE 0
#define TYPE_STORE 1
#define TYPE_ANY 3
#define SIZE_1 0
#define SIZE_4 3
#define SIZE_8 2

#define NO_WATCHES "data breakpoints: QEMU's engine of the emulation lane has none"

static volatile uint32_t watched[64] __attribute__((aligned(64)));
extern const char work_store[], work_load[], work_rmw[], work_byte[], work_string[], work_end[];

static void work(void)
{
    uint64_t rax = 0;
    const volatile void *from = &watched[32];
    volatile void *to = &watched[0];
    uint64_t n = 8;
    __asm__ volatile(".globl work_store, work_load, work_rmw, work_byte, work_string, work_end\n"
                     "nop\nmovl $5, (%2)\nwork_store: nop\nmovl (%2), %%eax\nwork_load: nop\n"
                     "addl $1, (%2)\nwork_rmw: nop\nmovb $1, 3(%2)\nwork_byte: nop\nmovl $1, 4(%2)\n"
                     "mov %2, %%rdi\nmov %3, %%rsi\nrep movsb\nwork_string: nop\nwork_end: nop"
                     : "+a"(rax), "+c"(n) : "r"(to), "r"(from) : "rsi", "rdi", "memory", "cc");
    _exit(0);
}

struct stops {
    uintptr_t rip[32];
    uint64_t status[32];
    unsigned n;
    int end;
};

static struct stops run(pid_t child)
{
    struct stops stops = {.n = 0};
    int signal;
    while (stops.n < 32 && (signal = trace_go(child, PTRACE_CONT, 0)) == SIGTRAP) {
        stops.rip[stops.n] = trace_registers(child).rip;
        stops.status[stops.n++] = trace_debug_register(child, 6);
        trace_set_debug_register(child, 6, 0);
    }
    stops.end = signal;
    return stops;
}

static pid_t start(const volatile void *address, uint64_t control)
{
    pid_t child = trace_start(work);
    if (!child)
        return 0;
    if (!trace_set_debug_register(child, 0, (uintptr_t)address) || !trace_set_debug_register(child, 7, control)) {
        trace_end(child);
        return 0;
    }
    return child;
}

static void code(void)
{
    pid_t child = start(work_rmw, ENABLE(0) | KIND(0, TYPE_CODE, SIZE_1));
    if (!child) {
        skip("watches", "no breakpoints by ptrace here");
        return;
    }
    check_equal("watches.control", trace_debug_register(child, 7) & 0xf0003, 1);
    struct stops stops = run(child);
    check(stops.n == 1 && stops.rip[0] == (uintptr_t)work_rmw && (stops.status[0] & 15) == 1, "watches.code",
          "%u stops, at %+ld, DR6 %#llx", stops.n, (long)(stops.rip[0] - (uintptr_t)work_rmw),
          (unsigned long long)stops.status[0]);
}

static void stores(void)
{
    static const char *const wanted[] = {work_store, work_rmw, work_byte};
    pid_t child = start(watched, ENABLE(0) | KIND(0, TYPE_STORE, SIZE_4));
    if (!child)
        return;
    struct stops stops = run(child);
    unsigned n_wrong = stops.n < 4;
    for (unsigned i = 0; i < 3 && i < stops.n; i++)
        n_wrong += stops.rip[i] != (uintptr_t)wanted[i] || (stops.status[i] & 15) != 1;
    if (stops.n == 0)
        check_unless_known(false, "watches.stores", NO_WATCHES);
    else
        check(n_wrong == 0, "watches.stores", "%u stops, the first at %+ld", stops.n,
              (long)(stops.rip[0] - (uintptr_t)work_store));
}

static void any(void)
{
    static const char *const wanted[] = {work_store, work_load, work_rmw};
    pid_t child = start(watched, ENABLE(0) | KIND(0, TYPE_ANY, SIZE_1));
    if (!child)
        return;
    struct stops stops = run(child);
    unsigned n_wrong = stops.n < 4;
    for (unsigned i = 0; i < 3 && i < stops.n; i++)
        n_wrong += stops.rip[i] != (uintptr_t)wanted[i];
    if (stops.n == 0)
        check_unless_known(false, "watches.any", NO_WATCHES);
    else
        check(n_wrong == 0, "watches.any", "%u stops", stops.n);
}

static void several(void)
{
    pid_t child = start(work_store, ENABLE(0) | KIND(0, TYPE_CODE, SIZE_1));
    if (!child)
        return;
    trace_set_debug_register(child, 1, (uintptr_t)work_byte);
    trace_set_debug_register(child, 3, (uintptr_t)work_end);
    trace_set_debug_register(child, 7, ENABLE(0) | ENABLE(1) | ENABLE(3));
    struct stops stops = run(child);
    if (stops.n == 1 && stops.rip[0] == (uintptr_t)work_store) {
        check_unless_known(false, "watches.several",
                           "behind one that was met the emulation lane's engine misses others, as long as RF is set");
        return;
    }
    check(stops.n == 3 && (stops.status[0] & 15) == 1 && (stops.status[1] & 15) == 2 && (stops.status[2] & 15) == 8,
          "watches.several", "%u stops", stops.n);
}

/* Kernel addresses are refused, and so is a length that is not aligned. */
static void refusals(void)
{
    pid_t child = trace_start(work);
    if (!child)
        return;
    bool passed = trace_set_debug_register(child, 0, 0xffffffff81000000) &&
                  trace_set_debug_register(child, 7, ENABLE(0) | KIND(0, TYPE_STORE, SIZE_8));
    check(!passed, "watches.kernel_refused", "passed");
    trace_end(child);
}

static int work_untraced(void *context)
{
    (void)context;
    work();
    return 1;
}

/* Beside a process with a breakpoint, others run over the same address. */
static void only_own(void)
{
    pid_t child = start(work_rmw, ENABLE(0) | KIND(0, TYPE_CODE, SIZE_1));
    if (!child)
        return;
    unsigned n_wrong = 0;
    for (unsigned i = 0; i < 10; i++)
        n_wrong += run_process(work_untraced, NULL) != 0;
    struct stops stops = run(child);
    check(n_wrong == 0 && stops.n == 1, "watches.only_own", "%u processes hit it, %u stops", n_wrong, stops.n);
}

/* A store by the kernel, on behalf of the process, does not count; the next one by the process does. */
static int ends[2];

static void read_into(void)
{
    read_all(ends[0], (void *)watched, 4);
    watched[0] = 9;
    _exit(watched[0] == 9 ? 0 : 1);
}

static void by_kernel(void)
{
    if (pipe(ends))
        _exit(1);
    write_all(ends[1], "abcd", 4);
    pid_t child = trace_start(read_into);
    if (!child)
        return;
    if (!trace_set_debug_register(child, 0, (uintptr_t)watched) ||
        !trace_set_debug_register(child, 7, ENABLE(0) | KIND(0, TYPE_STORE, SIZE_4))) {
        trace_end(child);
        return;
    }
    struct stops stops = run(child);
    if (stops.n == 0)
        check_unless_known(false, "watches.by_kernel", NO_WATCHES);
    else
        check(stops.n <= 2 && stops.end == -1, "watches.by_kernel", "%u stops, end %d", stops.n, stops.end);
}

void check_watches(void)
{
    code();
    stores();
    any();
    several();
    refusals();
    only_own();
    by_kernel();
}
