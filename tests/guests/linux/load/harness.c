/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lines of the result and their count, which all processes of a run share; processes and pages for the checks. */
#define _GNU_SOURCE
#include "load.h"
#include "counts.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct counts *counts;

void counts_start(void)
{
    counts = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counts == MAP_FAILED) {
        perror("load: no memory for the counts");
        exit(2);
    }
}

struct counts counts_now(void)
{
    return *counts;
}

/* A line goes out by one write, so that lines of several processes do not mix. */
static void put_line(const char *verdict, const char *name, const char *why, va_list arguments)
{
    char line[512];
    int length = snprintf(line, sizeof line - 1, "%s %s", verdict, name);
    if (why) {
        length += snprintf(line + length, sizeof line - 1 - (size_t)length, ": ");
        length += vsnprintf(line + length, sizeof line - 1 - (size_t)length, why, arguments);
    }
    if (length > (int)sizeof line - 2)
        length = (int)sizeof line - 2;
    line[length++] = '\n';
    write_all(1, line, (size_t)length);
}

static void put(const char *verdict, const char *name, const char *why, ...)
{
    va_list arguments;
    va_start(arguments, why);
    put_line(verdict, name, why, arguments);
    va_end(arguments);
}

void check(bool right, const char *name, const char *why, ...)
{
    __atomic_add_fetch(&counts->n_checks, 1, __ATOMIC_SEQ_CST);
    if (right) {
        put("ok", name, NULL);
        return;
    }
    __atomic_add_fetch(&counts->n_failed, 1, __ATOMIC_SEQ_CST);
    va_list arguments;
    va_start(arguments, why);
    put_line("not ok", name, why, arguments);
    va_end(arguments);
}

void check_equal(const char *name, uint64_t got, uint64_t wanted)
{
    check(got == wanted, name, "%#llx instead of %#llx", (unsigned long long)got, (unsigned long long)wanted);
}

void skip(const char *name, const char *why, ...)
{
    va_list arguments;
    va_start(arguments, why);
    put_line("skip", name, why, arguments);
    va_end(arguments);
}

void check_unless_known(bool right, const char *name, const char *what)
{
    if (right)
        check(true, name, " ");
    else
        put("known", name, "%s", what);
}

void add_counts(unsigned n_checks, unsigned n_failed)
{
    __atomic_add_fetch(&counts->n_checks, n_checks, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&counts->n_failed, n_failed, __ATOMIC_SEQ_CST);
}

static void give_up(const char *what)
{
    check(false, "harness", "%s: %s", what, strerror(errno));
    _exit(1);
}

pid_t start_process(int (*function)(void *), void *context)
{
    pid_t process = fork();
    if (process < 0)
        give_up("fork");
    if (process == 0)
        _exit(function(context));
    return process;
}

int wait_for(pid_t process)
{
    int status;
    while (waitpid(process, &status, 0) < 0)
        if (errno != EINTR)
            give_up("waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

int run_process(int (*function)(void *), void *context)
{
    return wait_for(start_process(function, context));
}

static void *map(size_t n_pages, int protection, int flags)
{
    void *pages = mmap(NULL, n_pages * PAGE_BYTES, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    if (pages == MAP_FAILED)
        give_up("mmap");
    return pages;
}

void *map_pages(size_t n_pages, int protection)
{
    return map(n_pages, protection, 0);
}

void *map_low_pages(size_t n_pages, int protection)
{
    return map(n_pages, protection, MAP_32BIT);
}

void write_all(int fd, const void *bytes, size_t size_bytes)
{
    const char *at = bytes;
    while (size_bytes) {
        ssize_t n = write(fd, at, size_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(3);
        at += n;
        size_bytes -= (size_t)n;
    }
}

void read_all(int fd, void *bytes, size_t size_bytes)
{
    char *at = bytes;
    while (size_bytes) {
        ssize_t n = read(fd, at, size_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(4);
        at += n;
        size_bytes -= (size_t)n;
    }
}
