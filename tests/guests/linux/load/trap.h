/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel tells of a fault: the signal, its code and address, and the registers that it saved. */
#ifndef LOAD_TRAP_H
#define LOAD_TRAP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

struct trap {
    int signal; /* 0: nothing happened */
    int code;
    uint64_t address;
    greg_t registers[NGREG]; /* by REG_RIP ...: those of <ucontext.h>, REG_ERR, REG_TRAPNO and REG_CR2 among them */
};

/* Runs FUNCTION(CONTEXT) until it returns, or until the first SIGSEGV, SIGBUS, SIGILL, SIGFPE or SIGTRAP. */
struct trap trap_in(void (*function)(void *), void *context);

/* Checks that TRAP was SIGNAL with CODE at ADDRESS. */
void check_trap(const char *name, const struct trap *trap, int signal, int code, uint64_t address);
/* The same, and exception VECTOR with error code ERROR. */
void check_exception(const char *name, const struct trap *trap, int signal, int code, uint64_t address,
                     unsigned vector, unsigned error);

/* Installs HANDLER for SIGNAL with SA_SIGINFO and FLAGS. */
void handle_signal(int signal, void (*handler)(int, siginfo_t *, void *), int flags);
/* An alternate stack for the calling thread. */
void use_alternate_stack(void);

#endif /* LOAD_TRAP_H */
