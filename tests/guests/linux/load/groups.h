/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The groups' functions, one for each file. */
#ifndef LOAD_GROUPS_H
#define LOAD_GROUPS_H

#include "load.h"

void check_processes(void);
void check_spaces(void);
void check_pipes(void);
void check_threads(void);
void check_floating(void);
void check_signals(void);
void check_faults(void);
void check_restarts(void);
void check_memory(void);
void check_large(void);
void check_code(void);
void check_alias(void);
void check_segments(void);
void check_bases(void);
void check_modes(void);
void check_ports(void);
void check_counters(void);
void check_flags(void);
void check_steps(void);
void check_tracing(void);
void check_watches(void);
void check_returns(void);
void check_strings(void);
void check_illegal(void);
void check_timers(void);
void check_futexes(void);
void check_random(void);
void check_i386(void);

#endif /* LOAD_GROUPS_H */
