/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPUID, the time-stamp counter, and what a process may be forbidden of them. */
#define _GNU_SOURCE
#include "groups.h"
#include "trap.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SI_OF_KERNEL 0x80

static uint64_t rdtsc(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static uint64_t rdtscp(uint32_t *aux)
{
    uint32_t low, high;
    __asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(*aux));
    return (uint64_t)high << 32 | low;
}

static void use_rdtsc(void *context)
{
    (void)context;
    rdtsc();
}

static void use_rdtscp(void *context)
{
    uint32_t aux;
    (void)context;
    rdtscp(&aux);
}

static void use_cpuid(void *context)
{
    unsigned a, b, c, d;
    (void)context;
    __cpuid(0, a, b, c, d);
}

static bool has_rdtscp(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(0x80000001, &a, &b, &c, &d) && (d & 1 << 27);
}

static void forward(void)
{
    unsigned n_back = 0;
    uint64_t last = rdtsc();
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t now = rdtsc();
        n_back += now < last;
        last = now;
    }
    check_equal("counters.tsc_forward", n_back, 0);
    if (!has_rdtscp()) {
        skip("counters.rdtscp", "this CPU has none");
        return;
    }
    uint32_t aux = ~0u;
    uint64_t now = rdtscp(&aux);
    unsigned cpu = ~0u, node = ~0u;
    syscall(SYS_getcpu, &cpu, &node, NULL);
    check(now >= last, "counters.rdtscp", "%llu after %llu", (unsigned long long)now, (unsigned long long)last);
    check((aux & 0xfff) == cpu && aux >> 12 == node, "counters.rdtscp_cpu", "%#x for CPU %u of node %u", aux, cpu, node);
}

static int keep_forbidden(void *context)
{
    (void)context;
    unsigned n_wrong = 0;
    prctl(PR_SET_TSC, PR_TSC_SIGSEGV);
    for (unsigned i = 0; i < 30; i++) {
        n_wrong += trap_in(use_rdtsc, NULL).signal != SIGSEGV;
        sched_yield();
    }
    return n_wrong != 0;
}

/* One that must not read the counter beside one that may. */
static void forbidden(void)
{
    pid_t other = start_process(keep_forbidden, NULL);
    unsigned n_wrong = 0;
    for (unsigned i = 0; i < 30; i++) {
        n_wrong += trap_in(use_rdtsc, NULL).signal != 0;
        sched_yield();
    }
    check(wait_for(other) == 0 && n_wrong == 0, "counters.tsc_per_process", "%u wrong here", n_wrong);
    if (prctl(PR_SET_TSC, PR_TSC_SIGSEGV)) {
        skip("counters.tsc_forbidden", "no PR_SET_TSC");
        return;
    }
    struct trap trap = trap_in(use_rdtsc, NULL);
    check_exception("counters.tsc_forbidden", &trap, SIGSEGV, SI_OF_KERNEL, 0, 13, 0);
    if (has_rdtscp()) {
        trap = trap_in(use_rdtscp, NULL);
        check_exception("counters.rdtscp_forbidden", &trap, SIGSEGV, SI_OF_KERNEL, 0, 13, 0);
    }
    prctl(PR_SET_TSC, PR_TSC_ENABLE);
    check_equal("counters.tsc_again", (uint64_t)trap_in(use_rdtsc, NULL).signal, 0);
}

static void cpuid(void)
{
    unsigned first[4], now[4], n_wrong = 0;
    __cpuid_count(1, 0, first[0], first[1], first[2], first[3]);
    for (unsigned i = 0; i < 500; i++) {
        __cpuid_count(1, 0, now[0], now[1], now[2], now[3]);
        n_wrong += memcmp(first, now, sizeof now) != 0;
    }
    check_equal("counters.cpuid_same", n_wrong, 0);
    /* FPU, CMOV, SSE2: what 64-bit mode comes with */
    check((first[3] & 0x04008001) == 0x04008001, "counters.cpuid_base", "%#x",
          first[3]);
    uint64_t high = ~0ull;
    __asm__ volatile("mov $0, %%eax; cpuid; mov %%rbx, %0" : "=r"(high) : : "rax", "rbx", "rcx", "rdx");
    check(high >> 32 == 0, "counters.cpuid_upper", "%#llx", (unsigned long long)high);
    if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0)) {
        skip("counters.cpuid_forbidden", "this CPU cannot make CPUID fault");
        return;
    }
    struct trap trap = trap_in(use_cpuid, NULL);
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
    check_exception("counters.cpuid_forbidden", &trap, SIGSEGV, SI_OF_KERNEL, 0, 13, 0);
}

static void use_xgetbv(void *context)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"((uint32_t)(uintptr_t)context));
}

/* What CPUID promises of XSAVE is what XGETBV does. */
static void xgetbv(void)
{
    unsigned a, b, c, d;
    __cpuid(1, a, b, c, d);
    struct trap trap = trap_in(use_xgetbv, NULL);
    if (!(c & bit_OSXSAVE)) {
        check_exception("counters.xgetbv", &trap, SIGILL, ILL_ILLOPN, (uint64_t)trap.registers[REG_RIP], 6, 0);
        return;
    }
    check_equal("counters.xgetbv", (uint64_t)trap.signal, 0);
    trap = trap_in(use_xgetbv, (void *)77);
    check(trap.signal == SIGSEGV, "counters.xgetbv_wrong", "signal %d", trap.signal);
}

static void use_rdpmc(void *context)
{
    uint32_t low, high;
    (void)context;
    __asm__ volatile("rdpmc" : "=a"(low), "=d"(high) : "c"(0x7ffff));
}

void check_counters(void)
{
    forward();
    forbidden();
    cpuid();
    xgetbv();
    struct trap trap = trap_in(use_rdpmc, NULL);
    check_unless_known(trap.signal == SIGSEGV, "counters.rdpmc", "#UD: the emulation lane's engine has no RDPMC");
}
