/* SPDX-License-Identifier: MIT */
/* The end of a run on a PC: the ACPI power-off register, and a debug port that carries a status. */
#include <stdint.h>

#include <pv/console.h>
#include <pv/power.h>

#include "io.h"

#define PM1A_CONTROL 0x604 /* ACPI PM1a control of the machine */
#define SLEEP_S5     0x2000
#define DEBUG_EXIT   0xf4 /* isa-debug-exit: ends with status (value << 1) | 1 */

_Noreturn void pv_exit(int status)
{
    if (status == 0)
        out16(PM1A_CONTROL, SLEEP_S5);
    else
        out32(DEBUG_EXIT, (uint32_t)status);
    for (;;) /* on a machine that has no such I/O port */
        __asm__ volatile("cli; hlt");
}

_Noreturn void pv_crash(const char *why)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) no_idt = {0, 0};

    pv_puts(why);
    __asm__ volatile("lidt %0; ud2" : : "m"(no_idt)); /* an exception that cannot be delivered: a triple fault */
    __builtin_unreachable();
}
