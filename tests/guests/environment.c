/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prints what a guest is told at its start, and shows that floating point, time and free memory work. */
#include <stdint.h>

#include <pv/cpu.h>
#include <pv/printf.h>
#include <pv/start.h>

int main(void)
{
    volatile double tenth = 0.1;
    uint64_t before = pv_time_ns();
    uint64_t after = pv_time_ns();
    volatile uint64_t *free_memory = (volatile uint64_t *)0x1000000; /* 16 MiB, far above the image */
    *free_memory = 42;
    pv_printf("command line: '%s'\n", pv_cmdline());
    pv_printf("memory: about %lu MiB\n", (unsigned long)((pv_memory_bytes() + 0xfffff) >> 20));
    pv_printf("time goes on: %s\n", after > before ? "yes" : "no");
    pv_printf("ten tenths: %d\n", (int)(tenth * 10.0));
    pv_printf("free memory: %lu\n", (unsigned long)*free_memory);
    return 0;
}
