/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The C library of the programs, such as it is. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../numbers.h"

static inline int call(int number, uint32_t a, uint32_t b, uint32_t c)
{
	int result;
	asm volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
	return result;
}
static inline int fork(void) { return call(SYS_FORK, 0, 0, 0); }
static inline int read(int file, void *to, size_t n) { return call(SYS_READ, file, (uint32_t)to, n); }
static inline int write(int file, const void *from, size_t n) { return call(SYS_WRITE, file, (uint32_t)from, n); }
static inline int open(const char *name) { return call(SYS_OPEN, (uint32_t)name, 0, 0); }
static inline int close(int file) { return call(SYS_CLOSE, file, 0, 0); }
static inline int wait(int *status) { return call(SYS_WAIT, (uint32_t)status, 0, 0); }
static inline int exec(const char *name, char *const *list) { return call(SYS_EXEC, (uint32_t)name, (uint32_t)list, 0); }
static inline int getpid(void) { return call(SYS_GETPID, 0, 0, 0); }
static inline int kill(int pid) { return call(SYS_KILL, pid, 0, 0); }
static inline void *sbrk(int more) { return (void *)call(SYS_SBRK, more, 0, 0); }
static inline int yield(void) { return call(SYS_YIELD, 0, 0, 0); }
static inline int sleep(int n) { return call(SYS_SLEEP, n, 0, 0); }
static inline int uptime(void) { return call(SYS_UPTIME, 0, 0, 0); }
static inline int sync(void) { return call(SYS_SYNC, 0, 0, 0); }
static inline int ask(int what) { return call(SYS_ASK, what, 0, 0); }
__attribute__((noreturn)) static inline void exit(int status)
{
	for (;;)
		call(SYS_EXIT, status, 0, 0);
}

int main(int argc, char **argv);
int run(const char *name, char *const *arguments);
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *memset(void *to, int value, size_t n);
void *memcpy(void *to, const void *from, size_t n);
int strcmp(const char *a, const char *b);
