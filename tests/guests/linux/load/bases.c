/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bases of FS and GS: by arch_prctl, by descriptors of thread areas, over switches, fork and signals. */
#define _GNU_SOURCE
#include "groups.h"
#include "trap.h"

#include <asm/ldt.h>
#include <asm/prctl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define N_THREADS 8

static uint64_t at_gs(void)
{
    uint64_t value;
    __asm__ volatile("movq %%gs:0, %0" : "=r"(value));
    return value;
}

static uint16_t gs_selector(void)
{
    uint16_t value;
    __asm__ volatile("mov %%gs, %0" : "=r"(value));
    return value;
}

static uint64_t gs_base(void)
{
    uint64_t base = 1;
    syscall(SYS_arch_prctl, ARCH_GET_GS, &base);
    return base;
}

static void set_gs_base(const void *base)
{
    syscall(SYS_arch_prctl, ARCH_SET_GS, base);
}

static void *carry_bases(void *context)
{
    uint64_t own = (uintptr_t)context, wrong = 0;
    set_gs_base(&own);
    for (unsigned i = 0; i < 400; i++) {
        own = own * 3 + 1;
        sched_yield();
        wrong += at_gs() != own || gs_base() != (uintptr_t)&own || gs_selector() != 0;
    }
    return (void *)wrong;
}

static int carry_in_process(void *context)
{
    return carry_bases(context) != NULL;
}

static void over_switches(void)
{
    pthread_t threads[N_THREADS];
    pid_t processes[N_THREADS];
    unsigned n_wrong = 0;
    for (uintptr_t i = 0; i < N_THREADS; i++) {
        processes[i] = start_process(carry_in_process, (void *)(i + 50));
        if (pthread_create(&threads[i], NULL, carry_bases, (void *)(i + 1)))
            _exit(1);
    }
    for (unsigned i = 0; i < N_THREADS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        n_wrong += wrong != NULL;
        n_wrong += wait_for(processes[i]) != 0;
    }
    check_equal("bases.over_switches", n_wrong, 0);
}

static void high_and_low(void)
{
    static uint64_t value = 99;
    uint64_t base;
    set_gs_base((void *)((uintptr_t)&value - 0x1000));
    uint64_t seen;
    __asm__ volatile("movq %%gs:0x1000, %0" : "=r"(seen));
    check_equal("bases.offset", seen, 99);
    long refused = syscall(SYS_arch_prctl, ARCH_SET_GS, 0xffff800000000000);
    check(refused < 0, "bases.kernel_refused", "gave %ld", refused);
    syscall(SYS_arch_prctl, ARCH_GET_FS, &base);
    uint64_t at_zero;
    __asm__ volatile("movq %%fs:0, %0" : "=r"(at_zero));
    check_equal("bases.fs", at_zero, base); /* the first word of a thread's block is its own address */
    set_gs_base(NULL);
}

static void gs_load(void *context)
{
    (void)context;
    (void)at_gs();
}

static void null_selector(void)
{
    static uint64_t value = 5;
    set_gs_base(&value);
    struct trap trap = trap_in(gs_load, NULL);
    check_equal("bases.usable", (uint64_t)trap.signal, 0);
    set_gs_base((void *)8);
    trap = trap_in(gs_load, NULL);
    check_exception("bases.fault", &trap, SIGSEGV, SEGV_MAPERR, 8, 14, 4);
    set_gs_base(NULL);
}

/* The three thread areas of the GDT belong to 32-bit calls; INT 0x80 makes them from here, too. */
static int set_thread_area(struct user_desc *area)
{
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(243), "b"(area) : "memory", "r8", "r9", "r10", "r11");
    return result;
}

static void *hold_area(void *context)
{
    struct user_desc *area = map_low_pages(1, PROT_READ | PROT_WRITE);
    uint32_t *word = (uint32_t *)(area + 4), wrong = 0;
    *area = (struct user_desc){.entry_number = -1u, .base_addr = (uint32_t)(uintptr_t)word, .limit = 0xfffff,
                               .seg_32bit = 1, .limit_in_pages = 1, .useable = 1};
    if (set_thread_area(area))
        return (void *)1;
    uint32_t selector = area->entry_number << 3 | 3;
    __asm__ volatile("mov %0, %%gs" : : "r"(selector));
    for (unsigned i = 0; i < 200; i++) {
        uint32_t seen;
        *word = (uint32_t)(uintptr_t)context * 1000 + i;
        sched_yield();
        __asm__ volatile("movl %%gs:0, %0" : "=r"(seen));
        wrong += seen != *word || gs_selector() != selector;
    }
    __asm__ volatile("mov %0, %%gs" : : "r"(0));
    return (void *)(uintptr_t)wrong;
}

static void thread_areas(void)
{
    pthread_t threads[4];
    unsigned n_wrong = 0;
    for (uintptr_t i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, hold_area, (void *)(i + 1)))
            _exit(1);
    for (unsigned i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        n_wrong += wrong != NULL;
    }
    check_equal("bases.thread_areas", n_wrong, 0);
}

static volatile uint64_t seen_in_handler;

static void look(int signal, siginfo_t *info, void *context)
{
    static uint64_t other = 31337;
    (void)signal, (void)info, (void)context;
    seen_in_handler = at_gs();
    set_gs_base(&other);
}

/* A signal's frame has no base: what a handler sets, stays. */
static void in_handler(void)
{
    static uint64_t own = 12345;
    set_gs_base(&own);
    handle_signal(SIGUSR1, look, 0);
    raise(SIGUSR1);
    check(seen_in_handler == 12345 && at_gs() == 31337, "bases.in_handler", "%llu, %llu",
          (unsigned long long)seen_in_handler, (unsigned long long)at_gs());
    set_gs_base(NULL);
}

/* Where a CPU has FSGSBASE, and the kernel lets user code have it. */
static void by_instruction(void)
{
    static uint64_t own = 777;
    extern unsigned long getauxval(unsigned long);
    if (!(getauxval(26) & 2)) {
        skip("bases.by_instruction", "no FSGSBASE here");
        return;
    }
    uint64_t base;
    __asm__ volatile(".byte 0xf3, 0x48, 0x0f, 0xae, 0xd8" : : "a"(&own)); /* wrgsbase %rax */
    sched_yield();
    __asm__ volatile(".byte 0xf3, 0x48, 0x0f, 0xae, 0xc8" : "=a"(base)); /* rdgsbase %rax */
    check(base == (uintptr_t)&own && at_gs() == 777, "bases.by_instruction", "%#llx", (unsigned long long)base);
    set_gs_base(NULL);
}

void check_bases(void)
{
    over_switches();
    high_and_low();
    null_selector();
    thread_areas();
    in_handler();
    by_instruction();
}
