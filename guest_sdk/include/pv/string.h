/* SPDX-License-Identifier: MIT */
/*
 * The memory functions that a C compiler may call of its own accord, and strlen. They are what the C standard says, the
 * same in every mode, and may be called anywhere. Sizes are in bytes.
 */
#ifndef PV_STRING_H
#define PV_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *s);

#endif /* PV_STRING_H */
