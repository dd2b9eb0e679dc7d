/* SPDX-License-Identifier: GPL-2.0-or-later */
/* More address spaces than any hypervisor keeps tables of: a token goes round, and each looks at its own memory. */
#include "groups.h"

#include <sys/mman.h>
#include <unistd.h>

#define N_PROCESSES 48
#define N_ROUNDS 40
#define N_PAGES 12

static uint64_t *own; /* at the same address in each process */

static uint64_t pattern(unsigned process, unsigned page, unsigned round)
{
    return 0x9e3779b97f4a7c15ull * (process * 1000003u + page * 1009u + round + 1);
}

static unsigned renew(unsigned process, unsigned round)
{
    unsigned n_wrong = 0;
    for (unsigned i = 0; i < N_PAGES; i++) {
        uint64_t *word = own + i * (PAGE_BYTES / sizeof *own);
        n_wrong += round && *word != pattern(process, i, round - 1);
        *word = pattern(process, i, round);
    }
    return n_wrong;
}

static int be_one(unsigned process, int from, int to)
{
    unsigned n_wrong = 0;
    for (unsigned round = 0; round < N_ROUNDS; round++) {
        uint32_t token;
        read_all(from, &token, sizeof token);
        n_wrong += token != round * N_PROCESSES + process;
        n_wrong += renew(process, round);
        token++;
        write_all(to, &token, sizeof token);
    }
    return n_wrong > 100 ? 100 : (int)n_wrong;
}

void check_spaces(void)
{
    int pipes[N_PROCESSES + 1][2];
    pid_t processes[N_PROCESSES];
    own = map_pages(N_PAGES, PROT_READ | PROT_WRITE);
    for (unsigned i = 0; i <= N_PROCESSES; i++)
        if (pipe(pipes[i]))
            _exit(1);
    for (unsigned i = 0; i < N_PROCESSES; i++) {
        processes[i] = fork();
        if (processes[i] == 0)
            _exit(be_one(i, pipes[i][0], pipes[i + 1][1]));
    }
    uint32_t token = 0;
    for (unsigned round = 0; round < N_ROUNDS; round++) {
        write_all(pipes[0][1], &token, sizeof token);
        read_all(pipes[N_PROCESSES][0], &token, sizeof token);
    }
    unsigned n_wrong = 0;
    for (unsigned i = 0; i < N_PROCESSES; i++)
        n_wrong += wait_for(processes[i]) != 0;
    check_equal("spaces.token", token, N_PROCESSES * N_ROUNDS);
    check(n_wrong == 0, "spaces.memory", "%u of %u processes found what was not theirs", n_wrong, N_PROCESSES);
}
