/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Code that is written through another address than it runs at: one frame, mapped twice, as JIT compilers do it. */
#define _GNU_SOURCE
#include "emit.h"
#include "groups.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define N_ROUNDS 4000u
#define N_PAGES 4u

struct twins {
    char *writable, *executable;
    int file;
};

static struct twins map_twins(void)
{
    struct twins twins = {.file = memfd_create("load", 0)};
    if (ftruncate(twins.file, N_PAGES * PAGE_BYTES))
        _exit(1);
    twins.writable = mmap(NULL, N_PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, twins.file, 0);
    twins.executable = mmap(NULL, N_PAGES * PAGE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, twins.file, 0);
    return twins;
}

static void one_place(void)
{
    struct twins twins = map_twins();
    unsigned n_right = 0;
    emit_number(twins.writable, 0);
    for (uint32_t i = 0; i < N_ROUNDS; i++) {
        memcpy(twins.writable + 1, &i, 4);
        n_right += call_code(twins.executable) == i;
    }
    check_equal("alias.one_place", n_right, N_ROUNDS);
}

static void many_places(void)
{
    struct twins twins = map_twins();
    unsigned n_right = 0;
    for (uint32_t i = 0; i < N_ROUNDS; i++) {
        uint32_t at = i * 2654435761u % (N_PAGES * PAGE_BYTES - 6), other = i * 40503u % (N_PAGES * PAGE_BYTES - 6);
        emit_number(twins.writable + other, ~i);
        emit_number(twins.writable + at, i);
        n_right += call_code(twins.executable + at) == i;
    }
    check_equal("alias.many_places", n_right, N_ROUNDS);
}

/* Two executable addresses of one frame, and stores of single bytes in turn. */
static void two_runners(void)
{
    struct twins twins = map_twins();
    char *second = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, twins.file, 0);
    unsigned n_right = 0;
    emit_number(twins.writable + 100, 0);
    for (uint32_t i = 0; i < N_ROUNDS; i++) {
        twins.writable[101] = (char)i;
        n_right += call_code((i & 1 ? second : twins.executable) + 100) == (i & 255);
    }
    check_equal("alias.two_runners", n_right, N_ROUNDS);
}

/* Written by a system call, which has the kernel's own address of the frame. */
static void by_file(void)
{
    struct twins twins = map_twins();
    unsigned n_right = 0;
    char bytes[8];
    for (uint32_t i = 0; i < 1000; i++) {
        emit_number(bytes, i);
        n_right += pwrite(twins.file, bytes, 6, 512) == 6 && call_code(twins.executable + 512) == i;
    }
    check_equal("alias.by_file", n_right, 1000);
}

struct runner {
    char *code;
    int from, to;
};

static int run_as_told(void *context)
{
    struct runner *runner = context;
    uint32_t number;
    for (unsigned i = 0; i < 500; i++) {
        read_all(runner->from, &number, sizeof number);
        number = call_code(runner->code);
        write_all(runner->to, &number, sizeof number);
    }
    return 0;
}

/* One process writes, another runs. */
static void by_processes(void)
{
    struct twins twins = map_twins();
    int there[2], back[2];
    if (pipe(there) || pipe(back))
        _exit(1);
    struct runner runner = {twins.executable, there[0], back[1]};
    pid_t process = start_process(run_as_told, &runner);
    unsigned n_right = 0;
    for (uint32_t i = 0; i < 500; i++) {
        uint32_t number = 0;
        emit_number(twins.writable, i + 1000);
        write_all(there[1], &number, sizeof number);
        read_all(back[0], &number, sizeof number);
        n_right += number == i + 1000;
    }
    check(wait_for(process) == 0 && n_right == 500, "alias.by_processes", "%u of 500", n_right);
}

static volatile uint32_t told, done;
static char *volatile thread_code;

static void *run_in_thread(void *context)
{
    (void)context;
    for (uint32_t i = 1; i <= 300; i++) {
        while (told != i)
            sched_yield();
        done = call_code(thread_code) == i ? i : ~0u;
    }
    return NULL;
}

static void by_threads(void)
{
    struct twins twins = map_twins();
    unsigned n_right = 0;
    pthread_t thread;
    thread_code = twins.executable;
    if (pthread_create(&thread, NULL, run_in_thread, NULL))
        _exit(1);
    for (uint32_t i = 1; i <= 300; i++) {
        uint32_t before = done;
        emit_number(twins.writable, i);
        __atomic_store_n(&told, i, __ATOMIC_SEQ_CST);
        while (done == before)
            sched_yield();
        n_right += done == i;
        if (done == ~0u)
            done = i;
    }
    pthread_join(thread, NULL);
    check_equal("alias.by_threads", n_right, 300);
}

void check_alias(void)
{
    one_place();
    many_places();
    two_runners();
    by_file();
    by_processes();
    by_threads();
}
