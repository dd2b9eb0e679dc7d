/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load               all groups
 * load short         the groups that take no time worth mentioning
 * load GROUP...      these groups
 * load list          their names
 * load bench [N]     a fixed amount of work, N times (once)
 */
#include "counts.h"
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A group that hangs is a failure after this time; none takes a tenth of it on QEMU. */
#define GROUP_LIMIT_S 120

const char *program_path;

static int run_group(void *context)
{
    alarm(GROUP_LIMIT_S);
    ((const struct group *)context)->run();
    return 0;
}

static void do_group(const struct group *group)
{
    int status = run_process(run_group, (void *)group);
    if (status)
        check(false, group->name, status >= 256 ? "killed by signal %d" : "ended early, with status %d", status & 255);
}

static bool is_wanted(const struct group *group, int n_words, char **words)
{
    if (n_words == 0)
        return true;
    for (int i = 0; i < n_words; i++)
        if (!strcmp(words[i], group->name) || (group->is_short && !strcmp(words[i], "short")))
            return true;
    return false;
}

int main(int argc, char **argv)
{
    static char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    program_path = length > 0 ? path : argv[0];
    if (argc > 1 && !strcmp(argv[1], "list")) {
        for (size_t i = 0; i < n_groups; i++)
            puts(groups[i].name);
        return 0;
    }
    if (argc > 1 && !strcmp(argv[1], "bench"))
        return bench(argc > 2 ? (unsigned)atoi(argv[2]) : 1);
    counts_start();
    if (argc > 3 && !strcmp(argv[1], "child"))
        return be_child(argv[2], argv[3]);
    for (size_t i = 0; i < n_groups; i++)
        if (is_wanted(&groups[i], argc - 1, argv + 1))
            do_group(&groups[i]);
    struct counts counts = counts_now();
    printf("load: %u checks, %u failed\n", counts.n_checks, counts.n_failed);
    return counts.n_failed != 0;
}
