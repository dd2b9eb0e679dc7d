/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ptrace, with its errors made plain. */
#define _GNU_SOURCE
#include "tracer.h"

#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

static int next_stop(pid_t child)
{
    int status;
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
        return -1;
    return WSTOPSIG(status);
}

pid_t trace_start(void (*function)(void))
{
    pid_t child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
            _exit(1);
        raise(SIGSTOP);
        function();
        _exit(0);
    }
    return next_stop(child) == SIGSTOP ? child : 0;
}

int trace_go(pid_t child, int request, int signal)
{
    if (ptrace((enum __ptrace_request)request, child, NULL, (void *)(uintptr_t)signal))
        return -1;
    return next_stop(child);
}

struct user_regs_struct trace_registers(pid_t child)
{
    struct user_regs_struct registers = {0};
    ptrace(PTRACE_GETREGS, child, NULL, &registers);
    return registers;
}

void trace_set_registers(pid_t child, const struct user_regs_struct *registers)
{
    ptrace(PTRACE_SETREGS, child, NULL, registers);
}

static size_t offset_of(unsigned number)
{
    return offsetof(struct user, u_debugreg) + number * sizeof(((struct user *)0)->u_debugreg[0]);
}

uint64_t trace_debug_register(pid_t child, unsigned number)
{
    return (uint64_t)ptrace(PTRACE_PEEKUSER, child, offset_of(number), NULL);
}

bool trace_set_debug_register(pid_t child, unsigned number, uint64_t value)
{
    return ptrace(PTRACE_POKEUSER, child, offset_of(number), value) == 0;
}

void trace_end(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}
