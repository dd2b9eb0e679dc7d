/* SPDX-License-Identifier: MIT */
/*
 * A PC that finds itself on pvisor: by CPUID. It has the hypercall stubs put into a page of its own, and shares a page
 * for events. From here on its console is the hypervisor's; CPU and memory stay a PC's.
 */
#include <pv/hypercall.h>
#include <pv/power.h>

#include "../full/io.h"
#include "../full/uart.h"
#include "../para/event.h"

extern const unsigned char pv_hypercall_pages[];
const unsigned char *pv_hypercall_page;

static struct {
    struct pv_shared_info info;
} __attribute__((aligned(PV_PAGE_BYTES))) shared_page;
struct pv_shared_info *pv_shared = &shared_page.info;

static void cpuid(uint32_t leaf, uint32_t registers[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(registers[0]), "=b"(registers[1]), "=c"(registers[2]), "=d"(registers[3])
                     : "a"(leaf), "c"(0));
}

static void write_msr(uint32_t index, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static bool is_pvisor(void)
{
    uint32_t found[4];
    cpuid(PV_CPUID_BASE, found);
    return found[0] >= PV_CPUID_VERSION && found[1] == PV_CPUID_SIGNATURE_EBX && found[2] == PV_CPUID_SIGNATURE_ECX &&
           found[3] == PV_CPUID_SIGNATURE_EDX;
}

/* On a PC without the hypervisor there is the UART, to say so. */
static _Noreturn void complain(void)
{
    static const char why[] = "this kernel needs pvisor for its I/O: pvisor run --mode hybrid\n";
    for (const char *c = why; *c != '\0'; c++) {
        while (!(in8(UART_LSR) & UART_LSR_THR_EMPTY))
            __asm__ volatile("pause");
        out8(UART, (uint8_t)*c);
    }
    pv_exit(1);
}

/* In the place of the UART, which a PC would program here. */
void pv_console_start(void)
{
    uint32_t found[4] = {0};
    if (is_pvisor())
        cpuid(PV_CPUID_VERSION, found);
    if (found[2] == 0)
        complain();
    for (uint32_t i = 0; i < found[1] && i < PV_HYPERCALL_PAGES; i++)
        write_msr(found[2], ((uintptr_t)pv_hypercall_pages + i * PV_PAGE_BYTES) | i);
    pv_hypercall_page = pv_hypercall_pages;
    if (pv_shared_set((uintptr_t)pv_shared) != 0)
        pv_crash("the hypervisor takes no shared page");
}
