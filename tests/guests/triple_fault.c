/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Full: an IDT without room for a single gate, then an exception: it cannot be delivered, nor can its failure. */
#include <stdint.h>

#include <pv/console.h>

int main(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) no_idt = {0, 0};
    pv_puts("triple fault");
    __asm__ volatile("lidt %0; int3" : : "m"(no_idt));
    pv_puts("survived");
    return 1;
}
