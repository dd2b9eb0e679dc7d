/* SPDX-License-Identifier: GPL-2.0-or-later */
/* String instructions: over page borders, into pages that are not there, backwards, and with 32-bit addresses. */
#define _GNU_SOURCE
#include "groups.h"
#include "trap.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>

static char *pages; /* four: the third can be taken away */

static void copy(void *context)
{
    (void)context;
    const char *from = pages;
    char *to = pages + 2 * PAGE_BYTES - 10;
    uint64_t n = 50;
    __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(n) : : "memory");
}

static void copy_words(void *context)
{
    (void)context;
    const char *from = pages;
    char *to = pages + 2 * PAGE_BYTES - 20;
    uint64_t n = 10;
    __asm__ volatile("rep movsq" : "+S"(from), "+D"(to), "+c"(n) : : "memory");
}

static void fill_back(void *context)
{
    (void)context;
    char *to = pages + 3 * PAGE_BYTES + 9;
    uint64_t n = 30;
    __asm__ volatile("std; rep stosb; cld" : "+D"(to), "+c"(n) : "a"(0x77) : "memory");
}

static void scan(void *context)
{
    (void)context;
    const char *at = pages + 2 * PAGE_BYTES - 6;
    uint64_t n = 100;
    __asm__ volatile("repne scasb" : "+D"(at), "+c"(n) : "a"(0x99) : "memory", "cc");
}

static void compare(void *context)
{
    (void)context;
    const char *one = pages, *other = pages + 2 * PAGE_BYTES - 12;
    uint64_t n = 100;
    memset(pages, 1, 100);
    memset(pages + 2 * PAGE_BYTES - 12, 1, 12);
    __asm__ volatile("repe cmpsb" : "+S"(one), "+D"(other), "+c"(n) : : "memory", "cc");
}

/* Each faults in the third page, with the registers as far as it has come. */
static void into_hole(void)
{
    static const struct {
        const char *name;
        void (*function)(void *);
        unsigned done, width, before, is_store;
        int step;
    } cases[] = {
        {"strings.movsb", copy, 10, 1, 50, 1, 1},  {"strings.movsq", copy_words, 2, 8, 10, 1, 1},
        {"strings.stosb_back", fill_back, 10, 1, 30, 1, -1}, {"strings.scasb", scan, 6, 1, 100, 0, 1},
        {"strings.cmpsb", compare, 12, 1, 100, 0, 1},
    };
    char *hole = pages + 2 * PAGE_BYTES;
    for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
        mprotect(hole, PAGE_BYTES, PROT_NONE);
        struct trap trap = trap_in(cases[i].function, NULL);
        uintptr_t at = cases[i].step > 0 ? (uintptr_t)hole : (uintptr_t)hole + PAGE_BYTES - 1;
        check_exception(cases[i].name, &trap, SIGSEGV, SEGV_ACCERR, at, 14, 4 + 2 * cases[i].is_store);
        char name[40];
        strcat(strcpy(name, cases[i].name), "_progress");
        uint64_t left = cases[i].before - cases[i].done;
        check((uint64_t)trap.registers[REG_RCX] == left, name, "%lld left instead of %llu",
              (long long)trap.registers[REG_RCX], (unsigned long long)left);
        __asm__ volatile("cld");
    }
}

static void mend(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    mprotect((void *)((uintptr_t)info->si_addr & ~4095ul), PAGE_BYTES, PROT_READ | PROT_WRITE);
}

/* The same, gone on with after each fault. */
static void over_holes(void)
{
    enum { N = 3 * PAGE_BYTES };
    static char from[N], to[N] __attribute__((aligned(4096)));
    unsigned n_wrong = 0;
    handle_signal(SIGSEGV, mend, SA_ONSTACK);
    for (unsigned i = 0; i < N; i++)
        from[i] = (char)(i * 7 + i / 256);
    for (unsigned round = 0; round < 50; round++) {
        const char *source = from;
        char *target = to;
        uint64_t n = N / 4;
        memset(to, 0, N);
        mprotect(to, N, PROT_NONE);
        __asm__ volatile("rep movsl" : "+S"(source), "+D"(target), "+c"(n) : : "memory");
        n_wrong += memcmp(from, to, N) != 0 || n != 0 || source != from + N || target != to + N;
    }
    signal(SIGSEGV, SIG_DFL);
    check_equal("strings.over_holes", n_wrong, 0);
}

static void overlapping(void)
{
    char *at = pages, *to = pages + 1;
    uint64_t n = 3000;
    memset(pages, 0, 2 * PAGE_BYTES);
    pages[0] = 'x';
    __asm__ volatile("rep movsb" : "+S"(at), "+D"(to), "+c"(n) : : "memory");
    unsigned n_wrong = 0;
    for (unsigned i = 0; i <= 3000; i++)
        n_wrong += pages[i] != 'x';
    check(n_wrong == 0 && pages[3001] == 0, "strings.overlapping", "%u bytes", n_wrong);
}

/* With a 32-bit address size the upper halves do not count, and RCX is ECX. */
static void short_addresses(void)
{
    char *low = map_low_pages(1, PROT_READ | PROT_WRITE);
    uint64_t rdi = (uintptr_t)low | 0xabcd00000000, rcx = 0xffff000000000005;
    __asm__ volatile(".byte 0x67; rep stosb" : "+D"(rdi), "+c"(rcx) : "a"(0x21) : "memory");
    check(!memcmp(low, "!!!!!", 6), "strings.short_addresses", "%.6s", low);
    check((uint32_t)rcx == 0 && (uint32_t)rdi == (uint32_t)(uintptr_t)low + 5, "strings.short_registers", "%#llx, %#llx",
          (unsigned long long)rcx, (unsigned long long)rdi);
}

/* No rounds: no access, and no fault. */
static void none(void *context)
{
    uint64_t n = 0;
    void *nowhere = (void *)8;
    (void)context;
    __asm__ volatile("rep stosq; rep movsb; repe cmpsb" : "+D"(nowhere), "+c"(n) : "a"(0), "S"(16) : "memory", "cc");
}

void check_strings(void)
{
    pages = map_pages(4, PROT_READ | PROT_WRITE);
    use_alternate_stack();
    into_hole();
    mprotect(pages, 4 * PAGE_BYTES, PROT_READ | PROT_WRITE);
    over_holes();
    overlapping();
    short_addresses();
    check_equal("strings.no_rounds", (uint64_t)trap_in(none, NULL).signal, 0);
}
