/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A 32-bit Linux program without libc: system calls, lines of the result, faults. */
#ifndef LOAD32_BASE_H
#define LOAD32_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SYS_EXIT 1
#define SYS_FORK 2
#define SYS_READ 3
#define SYS_WRITE 4
#define SYS_WAITPID 7
#define SYS_GETPID 20
#define SYS_KILL 37
#define SYS_PIPE 42
#define SYS_IOCTL 54
#define SYS_MUNMAP 91
#define SYS_IOPERM 101
#define SYS_MODIFY_LDT 123
#define SYS_MPROTECT 125
#define SYS_SCHED_YIELD 158
#define SYS_RT_SIGACTION 174
#define SYS_MMAP2 192
#define SYS_SET_THREAD_AREA 243
#define SYS_CLOCK_GETTIME 265

#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4
#define SIGILL 4
#define SIGTRAP 5
#define SIGBUS 7
#define SIGFPE 8
#define SIGSEGV 11

long syscall6(long number, long a, long b, long c, long d, long e, long f);
#define CALL(number, a, b, c) syscall6(number, (long)(a), (long)(b), (long)(c), 0, 0, 0)

extern long (*kernel_entry)(void); /* AT_SYSINFO; null where there is none */
long sysinfo_call(void *entry, long number, long a, long b);

void check(bool right, const char *name, uint32_t got, uint32_t wanted);
void check_unless_known(bool right, const char *name, const char *what);
void skip(const char *name, const char *why);
extern unsigned n_failed;

void *map_pages(unsigned n_pages, int protection);
/* The exit status of a process that runs FUNCTION, or 256 + its signal. */
int run_process(int (*function)(void));

/* The registers of a 32-bit frame of a signal (Linux: struct sigcontext_32). */
struct frame {
    uint32_t gs, fs, es, ds, edi, esi, ebp, esp, ebx, edx, ecx, eax, vector, error, eip, cs, eflags, esp_signal, ss;
    uint32_t fpu, mask, cr2;
};

struct trap {
    uint32_t signal, code, address;
    struct frame frame;
};

/* Runs FUNCTION until it returns or faults; SIGNAL is 0 where it has returned. */
struct trap trap_in(void (*function)(void));
void handle_signal(int signal, void (*handler)(int, void *, void *));
struct frame *frame_of(void *context);

void check_calls(void);
void check_traps(void);
void check_segments(void);
void check_instructions(void);

#endif /* LOAD32_BASE_H */
