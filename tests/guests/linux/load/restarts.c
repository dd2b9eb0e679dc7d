/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Instructions that fault and are run again once a handler has mapped the page: each must have its effect once. */
#define _GNU_SOURCE
#include "groups.h"
#include "trap.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#define N_PAGES 8

static char *pages;
static volatile unsigned n_faults;

static void mend(int signal, siginfo_t *info, void *context)
{
    uintptr_t page = (uintptr_t)info->si_addr & ~(uintptr_t)(PAGE_BYTES - 1);
    (void)signal, (void)context;
    n_faults++;
    mprotect((void *)page, PAGE_BYTES, PROT_READ | PROT_WRITE);
}

static void protect(int protection)
{
    mprotect(pages, N_PAGES * PAGE_BYTES, protection);
    n_faults = 0;
}

static void set(size_t at, uint64_t value)
{
    memcpy(pages + at, &value, sizeof value);
}

static uint64_t get(size_t at)
{
    uint64_t value;
    memcpy(&value, pages + at, sizeof value);
    return value;
}

static void read_modify_write(void)
{
    uint64_t old = 5, expected = 40;
    unsigned char carry;
    set(PAGE_BYTES - 4, 35);
    protect(PROT_READ);
    __asm__ volatile("lock xadd %0, (%1)" : "+r"(old) : "r"(pages + PAGE_BYTES - 4) : "memory", "cc");
    check(old == 35 && get(PAGE_BYTES - 4) == 40 && n_faults == 2, "restarts.xadd_across", "%llu, %llu, %u faults",
          (unsigned long long)old, (unsigned long long)get(PAGE_BYTES - 4), n_faults);
    protect(PROT_READ);
    __asm__ volatile("lock cmpxchg %2, (%1)" : "+a"(expected) : "r"(pages + PAGE_BYTES - 4), "r"(77ull) : "memory", "cc");
    check(get(PAGE_BYTES - 4) == 77, "restarts.cmpxchg", "%llu", (unsigned long long)get(PAGE_BYTES - 4));
    set(0, ~0ull);
    protect(PROT_READ);
    __asm__ volatile("stc; adcq $0, (%1); setc %0" : "=r"(carry) : "r"(pages) : "memory", "cc");
    check(carry == 1 && get(0) == 0, "restarts.adc", "carry %u, %llu", carry, (unsigned long long)get(0));
    set(16, 1);
    protect(PROT_NONE);
    __asm__ volatile("rclq $1, (%0)" : : "r"(pages + 16) : "memory", "cc");
    check((get(16) & ~1ull) == 2, "restarts.rcl", "%llu", (unsigned long long)get(16));
    __uint128_t pair = 0;
    protect(PROT_READ | PROT_WRITE);
    memcpy(pages + 32, &pair, 16);
    protect(PROT_READ);
    unsigned char done;
    __asm__ volatile("xor %%eax, %%eax; xor %%edx, %%edx; mov $3, %%ebx; mov $4, %%ecx; lock cmpxchg16b (%1); setz %0"
                     : "=q"(done) : "S"(pages + 32) : "rax", "rbx", "rcx", "rdx", "memory", "cc");
    check(done == 1 && get(32) == 3 && get(40) == 4, "restarts.cmpxchg16b", "%u", done);
}

/* PUSH, CALL, ENTER and POP move RSP only when the access is done. */
static void stack_instructions(void)
{
    uint64_t after, popped;
    char *top = pages + 2 * PAGE_BYTES;
    protect(PROT_NONE);
    __asm__ volatile("mov %%rsp, %%rbx; mov %1, %%rsp; push $99; mov %%rsp, %0; mov %%rbx, %%rsp"
                     : "=&r"(after) : "r"(top) : "rbx", "memory");
    check((char *)after == top - 8 && get(2 * PAGE_BYTES - 8) == 99, "restarts.push", "rsp %#llx",
          (unsigned long long)after);
    protect(PROT_NONE);
    __asm__ volatile("mov %%rsp, %%rbx; mov %1, %%rsp; call 1f; 1: mov %%rsp, %0; mov %%rbx, %%rsp"
                     : "=&r"(after) : "r"(top) : "rbx", "memory");
    check((char *)after == top - 8, "restarts.call", "rsp %#llx", (unsigned long long)after);
    set(2 * PAGE_BYTES - 8, 1234);
    protect(PROT_NONE);
    __asm__ volatile("mov %%rsp, %%rbx; mov %2, %%rsp; pop %1; mov %%rsp, %0; mov %%rbx, %%rsp"
                     : "=&r"(after), "=&r"(popped) : "r"(top - 8) : "rbx", "memory");
    check((char *)after == top && popped == 1234, "restarts.pop", "rsp %#llx, %llu", (unsigned long long)after,
          (unsigned long long)popped);
    protect(PROT_READ);
    __asm__ volatile("mov %%rsp, %%rbx; mov %%rbp, %%r12; mov %1, %%rsp; enter $16, $3; mov %%rsp, %0\n"
                     "mov %%r12, %%rbp; mov %%rbx, %%rsp"
                     : "=&r"(after) : "r"(top) : "rbx", "r12", "memory");
    check((char *)after == top - 8 - 3 * 8 - 16, "restarts.enter", "rsp %#llx", (unsigned long long)after);
    protect(PROT_NONE);
    __asm__ volatile("mov %%rsp, %%rbx; mov %1, %%rsp; pushf; mov %%rsp, %0; mov %%rbx, %%rsp"
                     : "=&r"(after) : "r"(top) : "rbx", "memory");
    check((char *)after == top - 8 && (get(2 * PAGE_BYTES - 8) & 0x202) == 0x202, "restarts.pushf", "rsp %#llx, %#llx",
          (unsigned long long)after, (unsigned long long)get(2 * PAGE_BYTES - 8));
    set(2 * PAGE_BYTES - 8, 0x202 | 0x400 | 1);
    protect(PROT_NONE);
    __asm__ volatile("mov %%rsp, %%rbx; mov %2, %%rsp; popf; mov %%rsp, %0; mov %%rbx, %%rsp; pushf; pop %1; cld"
                     : "=&r"(after), "=&r"(popped) : "r"(top - 8) : "rbx", "memory", "cc");
    check((char *)after == top && (popped & 0x401) == 0x401, "restarts.popf", "rsp %#llx, flags %#llx",
          (unsigned long long)after, (unsigned long long)popped);
}

static void vectors(void)
{
    double state[64] __attribute__((aligned(64)));
    char *at = pages + 4 * PAGE_BYTES - 32;
    memset(state, 0, sizeof state);
    protect(PROT_NONE);
    __asm__ volatile("fxsave64 (%0)" : : "r"((uintptr_t)at - 512) : "memory");
    check(n_faults == 1, "restarts.fxsave", "%u faults", n_faults);
    protect(PROT_READ | PROT_WRITE);
    memcpy(at, "0123456789abcdef0123456789abcdef", 32);
    protect(PROT_NONE);
    uint64_t low;
    __asm__ volatile("movdqu (%1), %%xmm1; movq %%xmm1, %0" : "=r"(low) : "r"(at + 24) : "xmm1");
    check(low == 0x6665646362613938ull && n_faults == 2, "restarts.movdqu_across", "%#llx, %u faults",
          (unsigned long long)low, n_faults);
}

/* Pages that come one by one as they are wanted, as a garbage collector or a debugger has it. */
static void on_demand(void)
{
    uint64_t sum = 0;
    for (unsigned round = 0; round < 100; round++) {
        protect(PROT_NONE);
        for (unsigned i = 0; i < N_PAGES; i++)
            pages[i * PAGE_BYTES + round]++;
        sum += n_faults;
    }
    check_equal("restarts.on_demand", sum, 100 * N_PAGES);
    unsigned n_wrong = 0;
    protect(PROT_READ);
    for (unsigned round = 50; round < 100; round++)
        n_wrong += pages[5 * PAGE_BYTES + round] != 1;
    check_equal("restarts.on_demand_values", n_wrong, 0);
}

void check_restarts(void)
{
    pages = map_pages(N_PAGES, PROT_READ | PROT_WRITE);
    use_alternate_stack();
    handle_signal(SIGSEGV, mend, SA_ONSTACK);
    read_modify_write();
    stack_instructions();
    vectors();
    memset(pages, 0, PAGE_BYTES);
    protect(PROT_READ | PROT_WRITE);
    memset(pages, 0, N_PAGES * PAGE_BYTES);
    on_demand();
}
