/* SPDX-License-Identifier: MIT */
/* The CPU, asked by instruction. */
#include <pv/cpu.h>

void pv_cpu_idle(void)
{
    __asm__ volatile("hlt" ::: "memory");
}

void pv_cpu_yield(void)
{
    __asm__ volatile("pause" ::: "memory");
}

uint64_t pv_time_ns(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}
