/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Futexes between threads and between processes; locks, counters and atomic instructions that many use at once. */
#define _GNU_SOURCE
#include "groups.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define N_THREADS 8
#define N_ROUNDS 2000u

static struct {
    uint32_t word, other;
    uint64_t plain, atomic;
    sem_t ready;
    pthread_mutex_t mutex;
} *shared;

static long futex(uint32_t *word, int operation, uint32_t value, const struct timespec *timeout)
{
    return syscall(SYS_futex, word, operation, value, timeout, NULL, 0);
}

/* The plainest lock: 0 free, 1 taken, 2 taken and awaited. */
static void lock(uint32_t *word)
{
    uint32_t free = 0;
    if (__atomic_compare_exchange_n(word, &free, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        return;
    while (__atomic_exchange_n(word, 2, __ATOMIC_SEQ_CST) != 0)
        futex(word, FUTEX_WAIT, 2, NULL);
}

static void unlock(uint32_t *word)
{
    if (__atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST) == 2)
        futex(word, FUTEX_WAKE, 1, NULL);
}

static void count(void)
{
    for (unsigned i = 0; i < N_ROUNDS; i++) {
        lock(&shared->word);
        uint64_t seen = shared->plain;
        if (i % 64 == 0)
            sched_yield();
        shared->plain = seen + 1;
        unlock(&shared->word);
        __atomic_add_fetch(&shared->atomic, 1, __ATOMIC_SEQ_CST);
    }
}

static void *be_thread(void *context)
{
    (void)context;
    count();
    return NULL;
}

static int be_process(void *context)
{
    (void)context;
    count();
    return 0;
}

static void counted(void)
{
    pthread_t threads[N_THREADS];
    pid_t processes[N_THREADS];
    for (unsigned i = 0; i < N_THREADS; i++) {
        processes[i] = start_process(be_process, NULL);
        if (pthread_create(&threads[i], NULL, be_thread, NULL))
            _exit(1);
    }
    for (unsigned i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], NULL);
        wait_for(processes[i]);
    }
    check_equal("futexes.lock", shared->plain, 2 * N_THREADS * N_ROUNDS);
    check_equal("futexes.atomic", shared->atomic, 2 * N_THREADS * N_ROUNDS);
}

static void results(void)
{
    struct timespec short_time = {0, 5000000};
    long result = futex(&shared->other, FUTEX_WAIT, 1, NULL);
    check(result < 0 && errno == EAGAIN, "futexes.other_value", "%ld", result);
    result = futex(&shared->other, FUTEX_WAIT, 0, &short_time);
    check(result < 0 && errno == ETIMEDOUT, "futexes.timeout", "%ld", result);
    check_equal("futexes.nobody", (uint64_t)futex(&shared->other, FUTEX_WAKE, 10, NULL), 0);
}

static int wait_there(void *context)
{
    (void)context;
    sem_post(&shared->ready);
    while (__atomic_load_n(&shared->other, __ATOMIC_SEQ_CST) == 0)
        futex(&shared->other, FUTEX_WAIT, 0, NULL);
    return 3;
}

static void awakened(void)
{
    pid_t processes[10];
    unsigned n_wrong = 0;
    for (unsigned i = 0; i < 10; i++)
        processes[i] = start_process(wait_there, NULL);
    for (unsigned i = 0; i < 10; i++)
        sem_wait(&shared->ready);
    __atomic_store_n(&shared->other, 1, __ATOMIC_SEQ_CST);
    futex(&shared->other, FUTEX_WAKE, 100, NULL);
    for (unsigned i = 0; i < 10; i++)
        n_wrong += wait_for(processes[i]) != 3;
    check_equal("futexes.awakened", n_wrong, 0);
}

static int die_with_mutex(void *context)
{
    (void)context;
    pthread_mutex_lock(&shared->mutex);
    return 0;
}

/* A robust mutex whose owner has died is handed on by the kernel. */
static void robust(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&shared->mutex, &attributes);
    run_process(die_with_mutex, NULL);
    check_equal("futexes.robust", (uint64_t)pthread_mutex_lock(&shared->mutex), EOWNERDEAD);
}

void check_futexes(void)
{
    shared = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    sem_init(&shared->ready, 1, 0);
    counted();
    results();
    awakened();
    robust();
}
