/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A fixed amount of work of each kind, with a checksum of what it did; times are for whoever runs it. */
#define _GNU_SOURCE
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint64_t sum;

static void add(uint64_t number)
{
    sum = (sum ^ number) * 0x100000001b3ull;
}

static int execute(void *context)
{
    (void)context;
    execl(program_path, "load", "child", "status", "7", (char *)NULL);
    return 126;
}

static void processes(void)
{
    for (unsigned i = 0; i < 40; i++)
        add((uint64_t)run_process(execute, NULL));
}

static int give_back(void *context)
{
    return (int)(uintptr_t)context & 63;
}

static void forks(void)
{
    for (uintptr_t i = 0; i < 100; i++)
        add((uint64_t)run_process(give_back, (void *)i));
}

static void system_calls(void)
{
    for (unsigned i = 0; i < 100000; i++)
        add(syscall(SYS_umask, 022) != 0);
}

static void page_faults(void)
{
    for (unsigned round = 0; round < 5; round++) {
        char *pages = map_pages(2000, PROT_READ | PROT_WRITE);
        madvise(pages, 2000 * PAGE_BYTES, MADV_NOHUGEPAGE);
        for (unsigned i = 0; i < 2000; i++)
            pages[i * PAGE_BYTES] = (char)i;
        for (unsigned i = 0; i < 2000; i++)
            add((unsigned char)pages[i * PAGE_BYTES]);
        munmap(pages, 2000 * PAGE_BYTES);
    }
}

static int echo(void *context)
{
    int *ends = context;
    uint64_t number;
    for (unsigned i = 0; i < 4000; i++) {
        read_all(ends[0], &number, sizeof number);
        number += i;
        write_all(ends[1], &number, sizeof number);
    }
    return 0;
}

static void pipes(void)
{
    int there[2], back[2];
    uint64_t number = 1;
    if (pipe(there) || pipe(back))
        _exit(1);
    int ends[2] = {there[0], back[1]};
    pid_t other = start_process(echo, ends);
    for (unsigned i = 0; i < 4000; i++) {
        write_all(there[1], &number, sizeof number);
        read_all(back[0], &number, sizeof number);
    }
    add(number + (uint64_t)wait_for(other));
}

static void compute(void)
{
    static uint8_t sieve[1 << 18];
    for (unsigned round = 0; round < 3; round++) {
        memset(sieve, 1, sizeof sieve);
        for (unsigned i = 2; i * i < sizeof sieve; i++)
            if (sieve[i])
                for (unsigned j = i * i; j < sizeof sieve; j += i)
                    sieve[j] = 0;
        for (unsigned i = 0; i < sizeof sieve; i++)
            add(sieve[i] + round);
    }
}

static void mappings(void)
{
    for (unsigned i = 0; i < 4000; i++) {
        char *pages = map_pages(4, PROT_READ | PROT_WRITE);
        pages[0] = (char)i;
        mprotect(pages, PAGE_BYTES, PROT_READ);
        add((unsigned char)pages[0]);
        munmap(pages, 4 * PAGE_BYTES);
    }
}

static const struct {
    const char *name;
    void (*run)(void);
} parts[] = {{"processes", processes}, {"forks", forks},     {"system_calls", system_calls},
             {"page_faults", page_faults}, {"pipes", pipes}, {"compute", compute}, {"mappings", mappings}};

int bench(unsigned rounds)
{
    puts("bench: start");
    fflush(stdout);
    for (unsigned round = 0; round < rounds; round++)
        for (unsigned i = 0; i < ARRAY_LENGTH(parts); i++) {
            parts[i].run();
            printf("bench: %s %016llx\n", parts[i].name, (unsigned long long)sum);
            fflush(stdout);
        }
    printf("bench: end %016llx\n", (unsigned long long)sum);
    return 0;
}
