/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The load program: what user code can do to a CPU, under a Linux kernel, with every result checked. It knows nothing of
 * what it runs on. Each check prints a line:
 *
 *     ok NAME
 *     not ok NAME: why
 *     skip NAME: why               (this kernel or CPU has no such thing, or the user may not)
 *     known NAME: why              (a documented limit of the engine was met; it counts as neither)
 *
 * and the last line is "load: N checks, M failed".
 */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE_BYTES 4096u
#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* One line of the result. WHY, with its arguments, is printed only where RIGHT is false. */
void check(bool right, const char *name, const char *why, ...) __attribute__((format(printf, 3, 4)));
void check_equal(const char *name, uint64_t got, uint64_t wanted);
void skip(const char *name, const char *why, ...) __attribute__((format(printf, 2, 3)));
/* Like check, for what an engine without WHAT cannot do: where RIGHT is false, the line is "known". */
void check_unless_known(bool right, const char *name, const char *what);
/* Counts that another program has made (the 32-bit companion). */
void add_counts(unsigned n_checks, unsigned n_failed);

/* One idea's checks. Each group runs in a process of its own, so that none can spoil the next. */
struct group {
    const char *name;
    void (*run)(void);
    bool is_short; /* part of "load short" */
};
extern const struct group groups[];
extern const size_t n_groups;

/* Work of a fixed amount, without checks: "load bench [ROUNDS]". */
int bench(unsigned rounds);
/* What this program does when it is executed anew by one of its own checks: "load child WHAT ARGUMENT". */
int be_child(const char *what, const char *argument);

extern const char *program_path; /* of this program */

/* A process: FUNCTION(CONTEXT) is its exit status. */
pid_t start_process(int (*function)(void *), void *context);
/* Wait for PROCESS: its exit status, or 256 + the signal that killed it. */
int wait_for(pid_t process);
int run_process(int (*function)(void *), void *context);

/* Anonymous private pages with PROTECTION; ends the group where there is no memory. */
void *map_pages(size_t n_pages, int protection);
/* The same, below 2 GiB, for code and data of 32-bit mode. */
void *map_low_pages(size_t n_pages, int protection);
/* Writes all, or ends the group. */
void write_all(int fd, const void *bytes, size_t size_bytes);
void read_all(int fd, void *bytes, size_t size_bytes);

#endif /* LOAD_H */
