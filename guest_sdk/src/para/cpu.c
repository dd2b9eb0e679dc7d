/* SPDX-License-Identifier: MIT */
/* The CPU, asked by hypercall. */
#include <stddef.h>

#include <pv/cpu.h>
#include <pv/hypercall.h>

#include "event.h"

/* As HLT: what masks upcalls masks them here too. BLOCK would let them in. */
void pv_cpu_idle(void)
{
    while (__atomic_load_n(&pv_shared->vcpu[0].upcall_mask, __ATOMIC_SEQ_CST))
        pv_poll(NULL, 0, 0);
    pv_block();
}

void pv_cpu_yield(void)
{
    pv_yield();
}

/* From the shared page and the TSC, without a call. The version is odd while the hypervisor writes. */
uint64_t pv_time_ns(void)
{
    const struct pv_vcpu_info *vcpu = &pv_shared->vcpu[0];
    uint32_t version, low, high;
    uint64_t time_ns;
    do {
        version = __atomic_load_n(&vcpu->time_version, __ATOMIC_ACQUIRE);
        __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
        uint64_t ticks = (((uint64_t)high << 32 | low) - vcpu->tsc_at) << vcpu->tsc_shift;
        time_ns = vcpu->system_ns + (uint64_t)((unsigned __int128)ticks * vcpu->tsc_mul >> 32);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while ((version & 1) != 0 || version != vcpu->time_version);
    return time_ns;
}
