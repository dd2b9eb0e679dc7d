/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mappings that come, change and go: what was mapped must be seen, what is gone must fault. */
#define _GNU_SOURCE
#include "groups.h"
#include "trap.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void load(void *address)
{
    (void)*(volatile char *)address;
}

static void store(void *address)
{
    *(volatile char *)address = 1;
}

static bool faults(void (*access)(void *), void *address)
{
    struct trap trap = trap_in(access, address);
    return trap.signal == SIGSEGV && trap.address == (uintptr_t)address;
}

static void come_and_go(void)
{
    unsigned n_wrong = 0;
    char *at = map_pages(16, PROT_READ | PROT_WRITE);
    for (unsigned round = 0; round < 400; round++) {
        munmap(at, 16 * PAGE_BYTES);
        n_wrong += round % 8 == 0 && !faults(load, at + (round & 15) * PAGE_BYTES);
        char *again = mmap(at, 16 * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        n_wrong += again != at || at[(round & 15) * PAGE_BYTES] != 0;
        memset(at, (int)round | 1, 16 * PAGE_BYTES);
    }
    check_equal("memory.come_and_go", n_wrong, 0);
}

static void rights(void)
{
    unsigned n_wrong = 0;
    char *page = map_pages(1, PROT_READ | PROT_WRITE);
    for (unsigned round = 0; round < 200; round++) {
        *page = (char)round;
        mprotect(page, PAGE_BYTES, PROT_READ);
        n_wrong += !faults(store, page) || *page != (char)round;
        mprotect(page, PAGE_BYTES, PROT_NONE);
        n_wrong += !faults(load, page);
        mprotect(page, PAGE_BYTES, PROT_READ | PROT_WRITE);
        n_wrong += *page != (char)round;
    }
    check_equal("memory.rights", n_wrong, 0);
}

static void moved(void)
{
    unsigned n_wrong = 0;
    char *from = map_pages(8, PROT_READ | PROT_WRITE), *room = map_pages(64, PROT_NONE);
    for (unsigned i = 0; i < 8; i++)
        memset(from + i * PAGE_BYTES, (int)i + 1, PAGE_BYTES);
    for (unsigned round = 0; round < 100; round++) {
        char *to = room + round % 7 * 8 * PAGE_BYTES;
        if (mremap(from, 8 * PAGE_BYTES, 8 * PAGE_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
            n_wrong++;
        n_wrong += round % 10 == 0 && !faults(load, from);
        for (unsigned i = 0; i < 8; i++)
            n_wrong += to[i * PAGE_BYTES + 99] != (char)(i + 1);
        from = to;
    }
    check_equal("memory.moved", n_wrong, 0);
    char *grown = mremap(from, 8 * PAGE_BYTES, 512 * PAGE_BYTES, MREMAP_MAYMOVE);
    grown[511 * PAGE_BYTES] = 5;
    check(grown[7 * PAGE_BYTES] == 8 && grown[8 * PAGE_BYTES] == 0, "memory.grown", "%d, %d", grown[7 * PAGE_BYTES],
          grown[8 * PAGE_BYTES]);
    mremap(grown, 512 * PAGE_BYTES, PAGE_BYTES, 0);
    check(faults(load, grown + PAGE_BYTES) && grown[5] == 1, "memory.shrunk", "%d", grown[5]);
}

/* One frame under several addresses: a store through one is seen through all, also by another process. */
static int store_shared(void *context)
{
    volatile uint32_t *words = context;
    for (uint32_t i = 0; i < 1000; i++)
        words[i] = i * 3;
    return 0;
}

static void shared(void)
{
    int file = memfd_create("load", 0);
    if (ftruncate(file, 4 * PAGE_BYTES))
        _exit(1);
    uint32_t *first = mmap(NULL, 4 * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    uint32_t *second = mmap(NULL, 4 * PAGE_BYTES, PROT_READ, MAP_SHARED, file, 0);
    uint32_t *own = mmap(NULL, 4 * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    own[PAGE_BYTES / 4] = 17; /* a copy of the second page only */
    int status = run_process(store_shared, first);
    unsigned n_wrong = status != 0;
    for (uint32_t i = 0; i < 1000; i++)
        n_wrong += second[i] != i * 3 || own[i] != i * 3;
    first[PAGE_BYTES / 4] = 1;
    n_wrong += second[PAGE_BYTES / 4] != 1 || own[PAGE_BYTES / 4] != 17;
    uint32_t word = 0;
    n_wrong += pread(file, &word, 4, 40) != 4 || word != 30;
    word = 4711;
    n_wrong += pwrite(file, &word, 4, 80) != 4 || second[20] != 4711;
    check_equal("memory.shared", n_wrong, 0);
}

static void dropped(void)
{
    char *pages = map_pages(4, PROT_READ | PROT_WRITE);
    unsigned n_wrong = 0;
    for (unsigned round = 0; round < 100; round++) {
        memset(pages, 7, 4 * PAGE_BYTES);
        madvise(pages + PAGE_BYTES, 2 * PAGE_BYTES, MADV_DONTNEED);
        n_wrong += pages[0] != 7 || pages[PAGE_BYTES] != 0 || pages[3 * PAGE_BYTES - 1] != 0 || pages[3 * PAGE_BYTES] != 7;
    }
    check_equal("memory.dropped", n_wrong, 0);
}

/* The zero page: read first, written later. */
static void zero_page(void)
{
    char *pages = map_pages(64, PROT_READ | PROT_WRITE);
    unsigned n_wrong = 0;
    for (unsigned i = 0; i < 64; i++)
        n_wrong += pages[i * PAGE_BYTES] != 0;
    for (unsigned i = 0; i < 64; i += 2)
        pages[i * PAGE_BYTES] = (char)i + 1;
    for (unsigned i = 0; i < 64; i++)
        n_wrong += pages[i * PAGE_BYTES] != (i % 2 ? 0 : (char)i + 1);
    check_equal("memory.zero_page", n_wrong, 0);
}

/* Addresses all over the 47 bits: each wants tables of its own. */
static void far_apart(void)
{
    unsigned n_wrong = 0;
    for (unsigned shift = 22; shift < 47; shift++) {
        uintptr_t at = (1ull << shift) + (shift << 16);
        uint64_t *page = mmap((void *)at, PAGE_BYTES, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (page != (void *)at)
            continue;
        *page = at;
        n_wrong += *page != at;
        munmap(page, PAGE_BYTES);
        n_wrong += !faults(load, page);
    }
    void *beyond = mmap((void *)0x7ffffffff000, PAGE_BYTES, PROT_READ,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    check(n_wrong == 0 && beyond == MAP_FAILED, "memory.far_apart", "%u wrong", n_wrong);
}

void check_memory(void)
{
    come_and_go();
    rights();
    moved();
    shared();
    dropped();
    zero_page();
    far_apart();
}
