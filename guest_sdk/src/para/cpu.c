/* SPDX-License-Identifier: MIT */
/* The CPU, asked by hypercall. */
#include <pv/cpu.h>
#include <pv/hypercall.h>

void pv_cpu_idle(void)
{
    pv_block();
}

void pv_cpu_yield(void)
{
    pv_yield();
}

uint64_t pv_time_ns(void)
{
    struct pv_time time;
    pv_time_get(&time);
    return time.system_ns;
}
