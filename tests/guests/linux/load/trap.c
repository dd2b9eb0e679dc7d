/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Catching a fault: a handler on a stack of its own keeps what it was told, and jumps back. */
#define _GNU_SOURCE
#include "trap.h"
#include "load.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>

static const int caught_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
static sigjmp_buf way_back;
static struct trap last;

void handle_signal(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigemptyset(&action.sa_mask);
    sigaction(signal, &action, NULL);
}

void use_alternate_stack(void)
{
    static __thread char stack[64 * 1024];
    stack_t description = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&description, NULL);
}

static void keep(int signal, siginfo_t *info, void *context)
{
    ucontext_t *saved = context;
    last = (struct trap){.signal = signal, .code = info->si_code, .address = (uintptr_t)info->si_addr};
    memcpy(last.registers, saved->uc_mcontext.gregs, sizeof last.registers);
    siglongjmp(way_back, 1);
}

struct trap trap_in(void (*function)(void *), void *context)
{
    struct sigaction before[ARRAY_LENGTH(caught_signals)];
    use_alternate_stack();
    for (size_t i = 0; i < ARRAY_LENGTH(caught_signals); i++) {
        sigaction(caught_signals[i], NULL, &before[i]);
        handle_signal(caught_signals[i], keep, SA_ONSTACK);
    }
    last = (struct trap){0};
    if (sigsetjmp(way_back, 1) == 0)
        function(context);
    for (size_t i = 0; i < ARRAY_LENGTH(caught_signals); i++)
        sigaction(caught_signals[i], &before[i], NULL);
    return last;
}

void check_trap(const char *name, const struct trap *trap, int signal, int code, uint64_t address)
{
    check(trap->signal == signal && trap->code == code && trap->address == address, name,
          "signal %d code %d at %#llx instead of %d, %d at %#llx (vector %lld, error %#llx, rip %#llx)", trap->signal,
          trap->code, (unsigned long long)trap->address, signal, code, (unsigned long long)address,
          (long long)trap->registers[REG_TRAPNO], (unsigned long long)trap->registers[REG_ERR],
          (unsigned long long)trap->registers[REG_RIP]);
}

void check_exception(const char *name, const struct trap *trap, int signal, int code, uint64_t address,
                     unsigned vector, unsigned error)
{
    bool right = trap->registers[REG_TRAPNO] == (greg_t)vector && trap->registers[REG_ERR] == (greg_t)error;
    if (trap->signal == signal && trap->code == code && trap->address == address)
        check(right, name, "vector %lld error %#llx instead of %u, %#x", (long long)trap->registers[REG_TRAPNO],
              (unsigned long long)trap->registers[REG_ERR], vector, error);
    else
        check_trap(name, trap, signal, code, address);
}
