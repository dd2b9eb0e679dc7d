/* SPDX-License-Identifier: MIT */
/*
 * The memory functions. A compiler knows these loops by sight and would replace each by a call of the very function
 * it stands in; the string instructions, and KEEP_LOOP where there is none that fits, prevent that.
 */
#include <stdint.h>

#include <pv/string.h>

#define KEEP_LOOP() __asm__ volatile("" ::: "memory")

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    void *start = to;
    size_t n_words = size / 8;
    size_t n_bytes = size % 8;
    __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(n_words) : : "memory");
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n_bytes) : : "memory");
    return start;
}

void *memmove(void *to, const void *from, size_t size)
{
    if ((uintptr_t)to - (uintptr_t)from >= size) /* also where TO is below FROM: the difference wraps round */
        return memcpy(to, from, size);
    unsigned char *t = to;
    const unsigned char *f = from;
    while (size-- > 0) {
        t[size] = f[size];
        KEEP_LOOP();
    }
    return to;
}

void *memset(void *to, int value, size_t size)
{
    void *start = to;
    uint64_t word = (unsigned char)value * 0x0101010101010101u;
    size_t n_words = size / 8;
    size_t n_bytes = size % 8;
    __asm__ volatile("rep stosq" : "+D"(to), "+c"(n_words) : "a"(word) : "memory");
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n_bytes) : "a"(word) : "memory");
    return start;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const unsigned char *x = a;
    const unsigned char *y = b;
    for (size_t i = 0; i < size; i++) {
        if (x[i] != y[i])
            return x[i] < y[i] ? -1 : 1;
        KEEP_LOOP();
    }
    return 0;
}

size_t strlen(const char *s)
{
    size_t length = 0;
    while (s[length] != '\0') {
        length++;
        KEEP_LOOP();
    }
    return length;
}
