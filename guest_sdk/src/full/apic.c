/* SPDX-License-Identifier: MIT */
/*
 * The local APIC: registers in memory, not at I/O ports. The 8259 pair's interrupts pass it untouched (LINT0), as the
 * firmware has left it. Without a twin: a domain sends itself an event instead.
 */
#include "apic.h"

#include "paging.h"

#define BASE         0xfee00000u
#define END          0x0b0 /* write: end of interrupt */
#define SPURIOUS     0x0f0 /* spurious vector, and the switch */
#define COMMAND      0x300 /* write: send an interrupt */
#define ENABLED      0x100
#define TO_SELF      0x40000
#define ASSERTED     0x4000

#define CPUID_1_EDX_APIC 0x200

static bool is_started;

static volatile uint32_t *at(uint32_t offset)
{
    return (volatile uint32_t *)(uintptr_t)(BASE + offset);
}

bool pv_apic_start(uint8_t noise_vector)
{
    if (is_started)
        return true;
    uint32_t eax = 1, ebx, ecx = 0, edx;
    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    if (!(edx & CPUID_1_EDX_APIC) || !pv_paging_map_device(BASE))
        return false;
    *at(SPURIOUS) = ENABLED | noise_vector;
    is_started = true;
    return true;
}

void pv_apic_raise(uint8_t vector)
{
    *at(COMMAND) = TO_SELF | ASSERTED | vector;
}

void pv_apic_end(void)
{
    *at(END) = 0;
}
