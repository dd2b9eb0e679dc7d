/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 32-bit companion, load32, which lies beside this program: its lines and its count become part of ours. */
#define _GNU_SOURCE
#include "groups.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void execute(const char *path, int out)
{
    dup2(out, 1);
    execl(path, path, (char *)NULL);
    _exit(127);
}

static void take_line(const char *line, unsigned *n_checks, unsigned *n_failed)
{
    if (!strncmp(line, "ok ", 3) || !strncmp(line, "not ok ", 7)) {
        ++*n_checks;
        *n_failed += *line == 'n';
    }
    write_all(1, line, strlen(line));
}

void check_i386(void)
{
    char path[4096 + 4], line[512];
    int ends[2];
    unsigned n_checks = 0, n_failed = 0;
    snprintf(path, sizeof path, "%.4090s32", program_path);
    if (access(path, X_OK)) {
        skip("i386", "there is no %.200s", path);
        return;
    }
    if (pipe(ends))
        _exit(1);
    pid_t child = fork();
    if (child == 0)
        execute(path, ends[1]);
    close(ends[1]);
    FILE *lines = fdopen(ends[0], "r");
    while (lines && fgets(line, sizeof line, lines))
        take_line(line, &n_checks, &n_failed);
    add_counts(n_checks, n_failed);
    int status = wait_for(child);
    if (status == 127 || n_checks == 0)
        skip("i386.end", "this kernel runs no 32-bit programs (status %d)", status);
    else
        check(status == (n_failed != 0), "i386.end", "status %d", status);
}
