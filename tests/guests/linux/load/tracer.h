/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A child that is traced: started, stopped, looked at, let go. */
#ifndef LOAD_TRACER_H
#define LOAD_TRACER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/user.h>

/* A child that runs FUNCTION once it has been let go; it is stopped now. 0 where nothing may be traced here. */
pid_t trace_start(void (*function)(void));
/* Goes on by REQUEST (PTRACE_CONT, PTRACE_SINGLESTEP ...) with SIGNAL; the signal of the next stop, or -1 at its end. */
int trace_go(pid_t child, int request, int signal);
struct user_regs_struct trace_registers(pid_t child);
void trace_set_registers(pid_t child, const struct user_regs_struct *registers);
/* Debug register NUMBER; writing gives false where the kernel refuses it. */
uint64_t trace_debug_register(pid_t child, unsigned number);
bool trace_set_debug_register(pid_t child, unsigned number, uint64_t value);
void trace_end(pid_t child);

#endif /* LOAD_TRACER_H */
