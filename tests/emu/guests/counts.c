/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many instructions pass, by the TSC, which counts them: through exceptions, devices and rewritten code. */
#include "pc.h"

static inline uint32_t now(void)
{
    uint32_t low;
    __asm__ volatile("rdtsc" : "=a"(low) : : "edx");
    return low;
}

#define COUNT(name, insns)                                                                            \
    do {                                                                                              \
        uint32_t begin, end;                                                                          \
        __asm__ volatile("rdtsc\n mov %%eax, %%esi\n" insns "\n rdtsc" : "=a"(end), "=S"(begin) : : "edx", "ecx", "edi", "memory", "cc"); \
        show(name, end - begin);                                                                      \
    } while (0)

int main(void)
{
    COUNT("nothing between", "");
    COUNT("three", "nop; nop; nop");
    COUNT("a loop of ten", "mov $10, %%ecx; 1: dec %%ecx; jnz 1b");
    COUNT("IN in the middle", "nop; in $0x80, %%al; nop");
    COUNT("a load from a device", "nop; mov 0xfd000000, %%eax; nop");
    COUNT("CPUID", "push %%ebx; mov $0, %%eax; cpuid; pop %%ebx");

    /* the same place with one instruction of two bytes, then with two of one, and once more */
    volatile uint8_t *code = (uint8_t *)0x5000;
    for (int round = 0; round < 3; round++) {
        code[0] = round == 1 ? 0x90 : 0x66, code[1] = 0x90, code[2] = 0xc3;
        COUNT("rewritten", "mov $0x5000, %%edi; call *%%edi");
    }
    return 0;
}
