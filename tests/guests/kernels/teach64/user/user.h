/* SPDX-License-Identifier: GPL-2.0-or-later */
/* System calls and a few words to print with. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../numbers.h"

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;
enum { CAN_READ = 1, CAN_WRITE = 2, CAN_RUN = 4, PAGE = 4096 };

struct frame { /* as the kernel pushes it for a fault's handler */
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error, rip, cs, rflags, rsp, ss;
};

static inline u64 call(u64 number, u64 a, u64 b, u64 c)
{
	u64 result;
	asm volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}
static inline int fork(void) { return call(SYS_FORK, 0, 0, 0); }
static inline int wait(int *status) { return call(SYS_WAIT, (u64)status, 0, 0); }
static inline u64 ask(u64 what) { return call(SYS_ASK, what, 0, 0); }
static inline u8 *map(u64 n, u32 access) { return (u8 *)call(SYS_MAP, n, access, 0); }
static inline int protect(void *at, u64 n, u32 access) { return call(SYS_PROTECT, (u64)at, n, access); }
static inline void unmap(void *at, u64 n) { call(SYS_UNMAP, (u64)at, n, 0); }
__attribute__((noreturn)) static inline void exit(int status)
{
	for (;;)
		call(SYS_EXIT, status, 0, 0);
}

/* library.c */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void thread_start(void (*what)(u64), u64 argument);
void lock(volatile u32 *word);
void unlock(volatile u32 *word);
void await(volatile u32 *word, u32 value);
void *memset(void *to, int value, size_t n);
void *memcpy(void *to, const void *from, size_t n);

/* faults.c: what happened since, and a way on */
extern volatile u64 n_faults, last_vector, last_error, last_address, n_steps;
void catch_faults(bool on);
bool faults(const char *name, void (*what)(u64), u64 argument);

/* one file each */
void try_processes(void);
void try_memory(void);
void try_code(void);
void try_threads(void);
void try_fpu(void);
void try_faults(void);
