/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small pieces of machine code, and their calls. */
#ifndef LOAD_EMIT_H
#define LOAD_EMIT_H

#include <stdint.h>
#include <string.h>

/* mov $NUMBER, %eax; ret */
static inline void emit_number(char *at, uint32_t number)
{
    at[0] = (char)0xb8;
    memcpy(at + 1, &number, 4);
    at[5] = (char)0xc3;
}

static inline uint32_t call_code(const void *code)
{
    return ((uint32_t (*)(void))(uintptr_t)code)();
}

static inline uint32_t call_code_with(const void *code, uint32_t argument)
{
    return ((uint32_t (*)(uint32_t))(uintptr_t)code)(argument);
}

static inline uint64_t call_long_code(const void *code)
{
    return ((uint64_t (*)(void))(uintptr_t)code)();
}

/* Code of any kind: all registers that it may take as an address or a number point to a page that is there. */
static inline void call_with_room(const char *code)
{
    static char room[512] __attribute__((aligned(64)));
    __asm__ volatile("call *%0" : : "r"(code), "a"(room), "c"(0), "d"(0), "b"(room), "S"(room), "D"(room)
                     : "memory", "cc");
}

#endif /* LOAD_EMIT_H */
