/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clocks and timers: none goes back, none comes too early, and those that run on come as often as they should. */
#define _GNU_SOURCE
#include "groups.h"
#include "trap.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ull

static volatile unsigned n_came;

static uint64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void count(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    n_came++;
}

static uint64_t newest; /* of all threads */

static void *look(void *context)
{
    uintptr_t n_back = 0;
    for (unsigned i = 0; i < 3000; i++) {
        uint64_t before = __atomic_load_n(&newest, __ATOMIC_SEQ_CST), now = now_ns(CLOCK_MONOTONIC);
        n_back += now < before;
        __atomic_store_n(&newest, now, __ATOMIC_SEQ_CST);
        if (i % 100 == 0)
            sched_yield();
    }
    (void)context;
    return (void *)n_back;
}

static void forward(void)
{
    pthread_t threads[4];
    uintptr_t n_back = 0;
    for (unsigned i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, look, NULL))
            _exit(1);
    for (unsigned i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        n_back += (uintptr_t)result;
    }
    check_equal("timers.forward", n_back, 0);
}

static void sleeps(void)
{
    unsigned n_early = 0, n_late = 0;
    for (unsigned i = 1; i <= 20; i++) {
        struct timespec duration = {0, (long)(i * MS / 4)};
        uint64_t before = now_ns(CLOCK_MONOTONIC);
        nanosleep(&duration, NULL);
        uint64_t slept = now_ns(CLOCK_MONOTONIC) - before;
        n_early += slept < i * MS / 4;
        n_late += slept > i * MS / 4 + 500 * MS;
    }
    check(n_early == 0, "timers.sleep_not_early", "%u of 20", n_early);
    check(n_late == 0, "timers.sleep_not_late", "%u of 20", n_late);
}

static void alarms(void)
{
    struct itimerval every = {{0, 5000}, {0, 5000}}, never = {{0, 0}, {0, 0}};
    handle_signal(SIGALRM, count, SA_RESTART);
    n_came = 0;
    uint64_t before = now_ns(CLOCK_MONOTONIC);
    setitimer(ITIMER_REAL, &every, NULL);
    while (n_came < 20 && now_ns(CLOCK_MONOTONIC) - before < 5000 * MS)
        pause();
    uint64_t took = now_ns(CLOCK_MONOTONIC) - before;
    setitimer(ITIMER_REAL, &never, NULL);
    signal(SIGALRM, SIG_DFL);
    check(n_came >= 20 && took >= 100 * MS, "timers.alarms", "%u in %llu us", n_came, (unsigned long long)took / 1000);
}

static void file_timer(void)
{
    struct itimerspec every = {{0, 4 * MS}, {0, 4 * MS}};
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    uint64_t expired = 0, total = 0, before = now_ns(CLOCK_MONOTONIC);
    timerfd_settime(timer, 0, &every, NULL);
    for (unsigned i = 0; i < 10; i++) {
        if (i == 5)
            usleep(21000); /* what is missed is counted */
        read_all(timer, &expired, sizeof expired);
        total += expired;
    }
    uint64_t took = now_ns(CLOCK_MONOTONIC) - before;
    check(total >= 14 && took >= total * 4 * MS, "timers.timerfd", "%llu in %llu us", (unsigned long long)total,
          (unsigned long long)took / 1000);
    close(timer);
}

/* Time that is spent computing: a timer of CPU time, and clocks that agree with each other. */
static void computing(void)
{
    struct itimerval once = {{0, 0}, {0, 20000}};
    handle_signal(SIGVTALRM, count, 0);
    n_came = 0;
    setitimer(ITIMER_VIRTUAL, &once, NULL);
    uint64_t before = now_ns(CLOCK_MONOTONIC), before_cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    while (!n_came && now_ns(CLOCK_MONOTONIC) - before < 5000 * MS)
        for (volatile unsigned i = 0; i < 10000; i++)
            ;
    uint64_t took = now_ns(CLOCK_MONOTONIC) - before, cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID) - before_cpu;
    signal(SIGVTALRM, SIG_DFL);
    check(n_came == 1, "timers.cpu_time", "%u came", n_came);
    check(cpu <= took + MS && cpu >= 10 * MS, "timers.cpu_clock", "%llu of %llu us", (unsigned long long)cpu / 1000,
          (unsigned long long)took / 1000);
}

static void clocks(void)
{
    uint64_t real = now_ns(CLOCK_REALTIME), mono = now_ns(CLOCK_MONOTONIC);
    struct timeval day;
    usleep(30000);
    gettimeofday(&day, NULL);
    uint64_t real_took = now_ns(CLOCK_REALTIME) - real, mono_took = now_ns(CLOCK_MONOTONIC) - mono;
    uint64_t difference = real_took > mono_took ? real_took - mono_took : mono_took - real_took;
    check(difference < 20 * MS, "timers.clocks_agree", "%llu and %llu us", (unsigned long long)real_took / 1000,
          (unsigned long long)mono_took / 1000);
    check((uint64_t)day.tv_sec - real / 1000000000u < 60, "timers.time_of_day", "%lld", (long long)day.tv_sec);
    check((uint64_t)time(NULL) > 1600000000u, "timers.date", "%lld", (long long)time(NULL));
}

/* A POSIX timer of a thread's own, by signal, with its number. */
static void posix_timer(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3, .sigev_value.sival_int = 9};
    struct itimerspec every = {{0, 3 * MS}, {0, 3 * MS}};
    timer_t timer;
    sigset_t set;
    siginfo_t info = {0};
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 3);
    sigprocmask(SIG_BLOCK, &set, NULL);
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    timer_settime(timer, 0, &every, NULL);
    unsigned n = 0;
    for (unsigned i = 0; i < 5; i++) {
        struct timespec patience = {2, 0};
        n += sigtimedwait(&set, &info, &patience) == SIGRTMIN + 3 && info.si_value.sival_int == 9;
    }
    timer_delete(timer);
    check_equal("timers.posix", n, 5);
}

void check_timers(void)
{
    forward();
    sleeps();
    alarms();
    file_timer();
    computing();
    clocks();
    posix_timer();
}
