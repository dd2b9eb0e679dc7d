/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions of a few bytes, for guests whose code changes. */
#ifndef TEST_CODE_H
#define TEST_CODE_H
#include "pc.h"

typedef unsigned function(void);

/* mov $value, %eax; ret */
static inline function *write_function(volatile uint8_t *at, uint32_t value)
{
    at[0] = 0xb8;
    for (unsigned i = 0; i < 4; i++)
        at[1 + i] = (uint8_t)(value >> 8 * i);
    at[5] = 0xc3;
    return (function *)at;
}

static inline void fill(volatile uint8_t *at, const char *bytes, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        at[i] = (uint8_t)bytes[i];
}
#endif
