/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hypercalls in C. Their Python twins are in para/cpu.py. */
#include "pv/abi.h"
#include "cpu/shim/shim.h"

static bool noop(struct engine *e)
{
    e->v.exit.result = 0;
    return true;
}

const struct native para_cpu_natives[] = {
    {"noop", PV_EXIT_HYPERCALL, PV_HC_NOOP, 0, noop},
};
const uint32_t n_para_cpu_natives = sizeof para_cpu_natives / sizeof para_cpu_natives[0];
