/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pipes and socket pairs: a stream through several processes, back and forth, and their ends. */
#define _GNU_SOURCE
#include "groups.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define STREAM_BYTES (1u << 20)
#define N_STAGES 5
#define N_TRIPS 2000

static uint8_t byte_at(uint32_t position)
{
    return (uint8_t)((position * 2654435761u) >> 24);
}

struct stage {
    int in, out;
};

/* Adds 1 to each byte; reads and writes in pieces of odd sizes. */
static int be_stage(void *context)
{
    struct stage *stage = context;
    uint8_t piece[1733];
    ssize_t n;
    while ((n = read(stage->in, piece, sizeof piece)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            piece[i]++;
        write_all(stage->out, piece, (size_t)n);
    }
    return n != 0;
}

static int be_source(void *context)
{
    uint8_t piece[4099];
    for (uint32_t at = 0; at < STREAM_BYTES;) {
        uint32_t n = STREAM_BYTES - at < sizeof piece ? STREAM_BYTES - at : (uint32_t)sizeof piece;
        for (uint32_t i = 0; i < n; i++)
            piece[i] = byte_at(at + i);
        write_all(*(int *)context, piece, n);
        at += n;
    }
    return 0;
}

static void stream(void)
{
    int ends[2], n_wrong = 0;
    if (pipe(ends))
        _exit(1);
    pid_t source = start_process(be_source, &ends[1]);
    close(ends[1]);
    int in = ends[0];
    pid_t stages[N_STAGES];
    for (unsigned i = 0; i < N_STAGES; i++) {
        if (pipe(ends))
            _exit(1);
        struct stage stage = {in, ends[1]};
        stages[i] = start_process(be_stage, &stage);
        close(in), close(ends[1]);
        in = ends[0];
    }
    uint8_t piece[8192];
    uint32_t at = 0;
    for (ssize_t n; (n = read(in, piece, sizeof piece)) > 0; at += (uint32_t)n)
        for (ssize_t i = 0; i < n; i++)
            n_wrong += piece[i] != (uint8_t)(byte_at(at + (uint32_t)i) + N_STAGES);
    int status = wait_for(source);
    for (unsigned i = 0; i < N_STAGES; i++)
        status |= wait_for(stages[i]);
    check(at == STREAM_BYTES && n_wrong == 0 && status == 0, "pipes.stream", "%u bytes, %d wrong, status %d", at,
          n_wrong, status);
}

static int echo(void *context)
{
    uint64_t number;
    for (unsigned i = 0; i < N_TRIPS; i++) {
        read_all(*(int *)context, &number, sizeof number);
        number = number * 3 + 1;
        write_all(*(int *)context, &number, sizeof number);
    }
    return 0;
}

static void back_and_forth(void)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
        _exit(1);
    pid_t other = start_process(echo, &ends[1]);
    unsigned n_wrong = 0;
    for (uint64_t i = 0; i < N_TRIPS; i++) {
        uint64_t number = i;
        write_all(ends[0], &number, sizeof number);
        read_all(ends[0], &number, sizeof number);
        n_wrong += number != i * 3 + 1;
    }
    check(wait_for(other) == 0 && n_wrong == 0, "pipes.back_and_forth", "%u of %u", n_wrong, N_TRIPS);
}

static void ends_of_pipes(void)
{
    int ends[2];
    char byte;
    if (pipe(ends))
        _exit(1);
    struct pollfd poll_in = {.fd = ends[0], .events = POLLIN};
    check_equal("pipes.poll_empty", (uint64_t)poll(&poll_in, 1, 0), 0);
    write_all(ends[1], "x", 1);
    check_equal("pipes.poll_full", (uint64_t)poll(&poll_in, 1, 0), 1);
    read_all(ends[0], &byte, 1);
    close(ends[1]);
    check_equal("pipes.end", (uint64_t)read(ends[0], &byte, 1), 0);
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    if (pipe(ends))
        _exit(1);
    close(ends[0]);
    ssize_t written = write(ends[1], "x", 1);
    check(written < 0 && errno == EPIPE, "pipes.broken", "write gave %zd", written);
}

/* The kernel meets a bad pointer: EFAULT, or what came before it, and never a signal. */
static void bad_pointers(void)
{
    static void *volatile nowhere[] = {(void *)16, (void *)0xffff888000000000, (void *)0x8000000000000000};
    int ends[2];
    if (pipe(ends))
        _exit(1);
    char *pages = map_pages(2, PROT_READ | PROT_WRITE);
    munmap(pages + PAGE_BYTES, PAGE_BYTES);
    ssize_t n = write(ends[1], nowhere[0], 8);
    check(n < 0 && errno == EFAULT, "pipes.bad_write", "gave %zd, errno %d", n, errno);
    n = write(ends[1], nowhere[1], 8);
    check(n < 0 && errno == EFAULT, "pipes.kernel_write", "gave %zd, errno %d", n, errno);
    n = write(ends[1], nowhere[2], 8);
    check(n < 0 && errno == EFAULT, "pipes.non_canonical_write", "gave %zd, errno %d", n, errno);
    write_all(ends[1], "12345678", 8);
    mprotect(pages, PAGE_BYTES, PROT_READ);
    n = read(ends[0], pages, 8);
    check(n < 0 && errno == EFAULT, "pipes.read_only_read", "gave %zd, errno %d", n, errno);
}

void check_pipes(void)
{
    stream();
    back_and_forth();
    ends_of_pipes();
    bad_pointers();
}
