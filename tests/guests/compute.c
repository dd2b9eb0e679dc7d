/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pure computing: a sieve over SIZE numbers (first word of the command line) and a hash over what it found, ROUNDS
 * times (second word). Prints a checksum; touches nothing but its own memory in between.
 */
#include <stdint.h>

#include <pv/printf.h>
#include <pv/string.h>

#include "arguments.h"

#define LARGEST 4000000

static uint8_t is_composite[LARGEST];

static unsigned long sieve(unsigned long size)
{
    unsigned long n_primes = 0;
    memset(is_composite, 0, size);
    for (unsigned long i = 2; i < size; i++) {
        if (is_composite[i])
            continue;
        n_primes++;
        for (unsigned long multiple = i * i; multiple < size; multiple += i)
            is_composite[multiple] = 1;
    }
    return n_primes;
}

static uint32_t hash(const uint8_t *bytes, unsigned long size, uint32_t seed)
{
    uint32_t value = seed;
    for (unsigned long i = 0; i < size; i++)
        value = (value ^ bytes[i]) * 16777619u;
    return value;
}

int main(void)
{
    unsigned long size = argument(0, 100000);
    unsigned long n_rounds = argument(1, 1);
    if (size > LARGEST)
        size = LARGEST;
    unsigned long n_primes = 0;
    uint32_t value = 2166136261u;
    for (unsigned long i = 0; i < n_rounds; i++) {
        n_primes = sieve(size);
        value = hash(is_composite, size, value);
    }
    pv_printf("primes below %lu: %lu, checksum %08x\n", size, n_primes, value);
    return 0;
}
