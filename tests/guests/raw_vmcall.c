/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Executes VMCALL outside the hypercall page, with the number of NOOP in EAX. */
#include <pv/abi.h>
#include <pv/console.h>
#include <pv/printf.h>

int main(void)
{
    long result = PV_HC_NOOP;
    pv_puts("raw VMCALL");
    __asm__ volatile("vmcall" : "+a"(result) : : "rcx", "r11", "memory");
    pv_printf("result: %ld\n", result);
    return 0;
}
