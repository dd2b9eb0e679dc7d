/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages of 2 MiB, where the kernel gives them: split, moved, copied, and given back. */
#define _GNU_SOURCE
#include "groups.h"
#include "trap.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define LARGE_BYTES (2u << 20)
#define N_LARGE 4u
#define N_PAGES (N_LARGE * LARGE_BYTES / PAGE_BYTES)

static uint32_t *words; /* the first word of each page is its number */
#define WORDS (PAGE_BYTES / 4)

static void store(void *address)
{
    *(volatile char *)address = 1;
}

static char *map_large(void)
{
    uintptr_t at = (uintptr_t)map_pages((N_LARGE + 1) * LARGE_BYTES / PAGE_BYTES, PROT_READ | PROT_WRITE);
    at = (at + LARGE_BYTES - 1) & ~(uintptr_t)(LARGE_BYTES - 1);
    madvise((void *)at, N_LARGE * LARGE_BYTES, MADV_HUGEPAGE);
    return (char *)at;
}

static unsigned wrong_pages(void)
{
    unsigned n_wrong = 0;
    for (unsigned i = 0; i < N_PAGES; i++)
        n_wrong += words[i * WORDS] != i + 1;
    return n_wrong;
}

static int change_copy(void *context)
{
    (void)context;
    unsigned n_wrong = wrong_pages();
    for (unsigned i = 0; i < N_PAGES; i += 3)
        words[i * WORDS] = 0;
    return n_wrong != 0;
}

void check_large(void)
{
    words = (uint32_t *)map_large();
    for (unsigned i = 0; i < N_PAGES; i++)
        words[i * WORDS] = i + 1;
    check_equal("large.filled", wrong_pages(), 0);
    char *middle = (char *)words + LARGE_BYTES + 77 * PAGE_BYTES;
    mprotect(middle, PAGE_BYTES, PROT_READ);
    struct trap trap = trap_in(store, middle);
    check_exception("large.split", &trap, SIGSEGV, SEGV_ACCERR, (uintptr_t)middle, 14, 7);
    trap = trap_in(store, middle + PAGE_BYTES + 8);
    check_equal("large.beside", (uint64_t)trap.signal, 0);
    mprotect(middle, PAGE_BYTES, PROT_READ | PROT_WRITE);
    check_equal("large.after_split", wrong_pages(), 0);
    int status = run_process(change_copy, NULL);
    check(status == 0 && wrong_pages() == 0, "large.copy_on_write", "child %d", status);
    char *hole = (char *)words + 2 * LARGE_BYTES + 5 * PAGE_BYTES;
    munmap(hole, PAGE_BYTES);
    trap = trap_in(store, hole);
    check_exception("large.hole", &trap, SIGSEGV, SEGV_MAPERR, (uintptr_t)hole, 14, 6);
    uint32_t *to = (uint32_t *)map_large();
    mremap(words, LARGE_BYTES, LARGE_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, to);
    unsigned n_wrong = 0;
    for (unsigned i = 0; i < LARGE_BYTES / PAGE_BYTES; i++)
        n_wrong += to[i * WORDS] != i + 1;
    trap = trap_in(store, words);
    check(n_wrong == 0 && trap.signal == SIGSEGV, "large.moved", "%u wrong, signal %d", n_wrong, trap.signal);
    for (unsigned round = 0; round < 6; round++) {
        madvise(to, N_LARGE * LARGE_BYTES, MADV_DONTNEED);
        for (unsigned i = 0; i < N_PAGES; i++)
            n_wrong += to[i * WORDS] != 0;
        memset(to, 1, N_LARGE * LARGE_BYTES);
    }
    check_equal("large.given_back", n_wrong, 0);
}
