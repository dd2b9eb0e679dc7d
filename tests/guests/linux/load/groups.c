/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All groups, in the order in which they run. */
#include "groups.h"

const struct group groups[] = {
    {"processes", check_processes, true}, {"spaces", check_spaces, true},     {"pipes", check_pipes, true},
    {"threads", check_threads, false},    {"floating", check_floating, true}, {"signals", check_signals, true},
    {"faults", check_faults, true},       {"restarts", check_restarts, true}, {"memory", check_memory, true},
    {"large", check_large, false},        {"code", check_code, false},        {"alias", check_alias, false},
    {"segments", check_segments, true},   {"bases", check_bases, true},       {"modes", check_modes, true},
    {"ports", check_ports, true},         {"counters", check_counters, true}, {"flags", check_flags, true},
    {"steps", check_steps, true},         {"tracing", check_tracing, true},   {"watches", check_watches, true},
    {"returns", check_returns, true},     {"strings", check_strings, true},   {"illegal", check_illegal, true},
    {"timers", check_timers, true},       {"futexes", check_futexes, false},  {"random", check_random, true},
    {"i386", check_i386, true},
};
const size_t n_groups = ARRAY_LENGTH(groups);
