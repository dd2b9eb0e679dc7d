/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Storms of fork, exec and wait; what a child has of its parent, and what not. */
#define _GNU_SOURCE
#include "groups.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_FORKS 200
#define N_EXECS 60
#define N_TOGETHER 40

static int give_back(void *context)
{
    return (int)(intptr_t)context & 127;
}

static void forks(void)
{
    unsigned n_wrong = 0;
    for (intptr_t i = 0; i < N_FORKS; i++)
        n_wrong += run_process(give_back, (void *)i) != (i & 127);
    check(n_wrong == 0, "processes.fork", "%u of %u children ended with another status", n_wrong, N_FORKS);
}

static int execute(void *context)
{
    char word[16];
    snprintf(word, sizeof word, "%d", (int)(intptr_t)context);
    execl(program_path, "load", "child", "status", word, (char *)NULL);
    return 126;
}

static void execs(void)
{
    unsigned n_wrong = 0;
    for (intptr_t i = 0; i < N_EXECS; i++)
        n_wrong += run_process(execute, (void *)(i & 63)) != (i & 63);
    check(n_wrong == 0, "processes.exec", "%u of %u programs ended with another status", n_wrong, N_EXECS);
}

static void together(void)
{
    pid_t children[N_TOGETHER];
    unsigned n_wrong = 0;
    for (intptr_t i = 0; i < N_TOGETHER; i++)
        children[i] = start_process(i % 4 ? give_back : execute, (void *)i);
    for (intptr_t i = N_TOGETHER - 1; i >= 0; i--)
        n_wrong += wait_for(children[i]) != i;
    check(n_wrong == 0, "processes.together", "%u of %u", n_wrong, N_TOGETHER);
}

/* A chain of children, each the child of the one before; the last one's status comes up through all. */
static int chain(void *context)
{
    intptr_t depth = (intptr_t)context;
    return depth ? run_process(chain, (void *)(depth - 1)) + 1 : 0;
}

static int by_vfork(void)
{
    volatile int seen = 0;
    pid_t child = vfork();
    if (child == 0) {
        seen = 17; /* a vforked child shares the memory */
        _exit(5);
    }
    return wait_for(child) == 5 ? seen : -1;
}

static int cloned(void *context)
{
    *(volatile int *)context += 1;
    return 9;
}

static void clones(void)
{
    volatile int shared = 1;
    char *stack = map_pages(16, PROT_READ | PROT_WRITE);
    pid_t child = clone(cloned, stack + 16 * PAGE_BYTES, CLONE_VM | SIGCHLD, (void *)&shared);
    int status = wait_for(child);
    check(status == 9 && shared == 2, "processes.clone_vm", "status %d, value %d", status, shared);
}

static int die(void *context)
{
    kill(getpid(), (int)(intptr_t)context);
    return 0;
}

static int copy_on_write(void *context)
{
    unsigned char *pages = context;
    unsigned n_wrong = 0;
    for (unsigned i = 0; i < 64; i++) {
        n_wrong += pages[i * PAGE_BYTES] != i;
        pages[i * PAGE_BYTES] = (unsigned char)(i + 100);
        n_wrong += pages[i * PAGE_BYTES] != (unsigned char)(i + 100);
    }
    return n_wrong != 0;
}

void check_processes(void)
{
    forks();
    execs();
    together();
    check_equal("processes.chain", (uint64_t)run_process(chain, (void *)20), 20);
    check_equal("processes.vfork", (uint64_t)by_vfork(), 17);
    clones();
    check_equal("processes.killed", (uint64_t)run_process(die, (void *)SIGKILL), 256 + SIGKILL);
    check_equal("processes.aborted", (uint64_t)run_process(die, (void *)SIGABRT), 256 + SIGABRT);
    unsigned char *pages = map_pages(64, PROT_READ | PROT_WRITE);
    for (unsigned i = 0; i < 64; i++)
        pages[i * PAGE_BYTES] = (unsigned char)i;
    int status = run_process(copy_on_write, pages);
    unsigned n_wrong = 0;
    for (unsigned i = 0; i < 64; i++)
        n_wrong += pages[i * PAGE_BYTES] != i;
    check(status == 0 && n_wrong == 0, "processes.copy_on_write", "child %d, %u pages changed here", status, n_wrong);
}
