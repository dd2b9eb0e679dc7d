/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads and processes that carry a whole FPU state each over switches, and over the signals that come meanwhile. */
#define _GNU_SOURCE
#include "fpu.h"
#include "groups.h"
#include "trap.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define N_THREADS 12
#define N_ROUNDS 150
#define N_SPINS 20000

static const char *volatile wrong; /* what differed first */
static volatile unsigned n_signals;

static long call(long number)
{
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number) : "rcx", "r11", "memory");
    return result;
}

static void let_others_run(void *context)
{
    (void)context;
    call(SYS_sched_yield);
    call(SYS_sched_yield);
}

/* No system call: only a timer's interrupt switches here. */
static void spin(void *context)
{
    for (volatile unsigned i = 0; i < (unsigned)(uintptr_t)context; i++)
        ;
}

static void carry(uint32_t number, void (*between)(void *), void *context)
{
    struct fpu_state state;
    fpu_make(&state, number);
    fpu_carry(&state, between, context);
    const char *difference = fpu_difference(&state, number);
    if (difference && !wrong)
        wrong = difference;
}

static void *be_thread(void *context)
{
    uint32_t number = (uint32_t)(uintptr_t)context;
    for (unsigned round = 0; round < N_ROUNDS; round++)
        carry(number * 1000 + round, round % 8 ? let_others_run : spin, (void *)N_SPINS);
    return NULL;
}

static void run_threads(const char *name)
{
    pthread_t threads[N_THREADS];
    wrong = NULL;
    for (uintptr_t i = 0; i < N_THREADS; i++)
        if (pthread_create(&threads[i], NULL, be_thread, (void *)(i + 1)))
            _exit(1);
    for (unsigned i = 0; i < N_THREADS; i++)
        pthread_join(threads[i], NULL);
    check(!wrong, name, "another state in the %s", wrong);
}

static int be_process(void *context)
{
    wrong = NULL;
    be_thread(context);
    return wrong != NULL;
}

static void run_processes(void)
{
    pid_t processes[N_THREADS];
    unsigned n_wrong = 0;
    for (uintptr_t i = 0; i < N_THREADS; i++)
        processes[i] = start_process(be_process, (void *)(i + 100));
    for (unsigned i = 0; i < N_THREADS; i++)
        n_wrong += wait_for(processes[i]) != 0;
    check(n_wrong == 0, "threads.fpu_processes", "%u of %u", n_wrong, N_THREADS);
}

static void on_timer(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    n_signals++;
    carry(7777 + n_signals, let_others_run, NULL); /* its own state, on top of the one that it came upon */
}

static void under_signals(void)
{
    struct itimerval every = {{0, 3000}, {0, 3000}}, never = {{0, 0}, {0, 0}};
    wrong = NULL;
    handle_signal(SIGALRM, on_timer, SA_RESTART);
    setitimer(ITIMER_REAL, &every, NULL);
    for (unsigned round = 0; round < 2000 && n_signals < 60; round++)
        carry(round, spin, (void *)N_SPINS);
    setitimer(ITIMER_REAL, &never, NULL);
    signal(SIGALRM, SIG_DFL);
    check(!wrong, "threads.fpu_in_signals", "another state in the %s", wrong);
    check(n_signals >= 20, "threads.signals_came", "only %u", n_signals);
}

static int carry_over_fork(void *context)
{
    return fpu_difference(context, 4242) != NULL;
}

static int forked_status;

static void fork_between(void *context)
{
    (void)context;
    long child = call(SYS_fork);
    forked_status = (int)child;
}

/* The child has the parent's state, too. */
static void over_fork(void)
{
    struct fpu_state state;
    fpu_make(&state, 4242);
    fpu_carry(&state, fork_between, NULL);
    if (forked_status == 0)
        _exit(carry_over_fork(&state));
    int status = wait_for(forked_status);
    check(status == 0 && !fpu_difference(&state, 4242), "threads.fpu_over_fork", "child's status %d", status);
}

struct shared {
    pthread_mutex_t mutex;
    pthread_cond_t turn;
    unsigned whose, sum;
};

static struct shared shared = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};
static __thread unsigned n_turns;

static void *take_turns(void *context)
{
    unsigned mine = (unsigned)(uintptr_t)context;
    for (unsigned i = 0; i < 100; i++) {
        pthread_mutex_lock(&shared.mutex);
        while (shared.whose != mine)
            pthread_cond_wait(&shared.turn, &shared.mutex);
        shared.sum += ++n_turns;
        shared.whose = (mine + 1) % 4;
        pthread_cond_broadcast(&shared.turn);
        pthread_mutex_unlock(&shared.mutex);
    }
    return NULL;
}

static void turns(void)
{
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, take_turns, (void *)i))
            _exit(1);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    check_equal("threads.turns", shared.sum, 4 * 5050);
}

void check_threads(void)
{
    run_threads("threads.fpu");
    run_processes();
    under_signals();
    over_fork();
    turns();
}
