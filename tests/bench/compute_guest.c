/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pure computing, freestanding: a sieve and a hash over it, ROUNDS times (in RDI), checksum in RAX.
 *
 * It has no kernel and no start code, so that it can run on a bare engine as well: code at its link address,
 * numbers at NUMBERS, stack wherever RSP points. It ends in HLT.
 */
#include <stdint.h>

#define NUMBERS ((uint8_t *)0x400000)
#define SIZE 2000000u

#ifndef PV_MODE_FULL /* paged_guest.c brings a kernel with it */
/* .text.startup is what the linker puts first. */
__asm__(".section .text.startup, \"ax\"\n"
        ".globl _start\n"
        "_start: call compute\n"
        "        hlt\n"
        ".text\n");
#endif

static uint32_t sieve(uint8_t *is_composite)
{
    uint32_t n_primes = 0;
    for (uint32_t i = 0; i < SIZE; i++)
        is_composite[i] = 0;
    for (uint32_t i = 2; i < SIZE; i++) {
        if (is_composite[i])
            continue;
        n_primes++;
        for (uint64_t multiple = (uint64_t)i * i; multiple < SIZE; multiple += i)
            is_composite[multiple] = 1;
    }
    return n_primes;
}

static uint32_t hash(const uint8_t *bytes, uint32_t value)
{
    for (uint32_t i = 0; i < SIZE; i++)
        value = (value ^ bytes[i]) * 16777619u;
    return value;
}

uint64_t compute(uint64_t rounds)
{
    uint32_t value = 2166136261u, n_primes = 0;
    for (uint64_t i = 0; i < rounds; i++) {
        n_primes = sieve(NUMBERS);
        value = hash(NUMBERS, value);
    }
    return (uint64_t)n_primes << 32 | value;
}
