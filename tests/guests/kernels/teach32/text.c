/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes and strings, for the kernel and its programs. */
#include <stddef.h>
#include <stdint.h>

void *memset(void *to, int value, size_t n)
{
	void *at = to;
	asm volatile("cld; rep stosb" : "+D"(at), "+c"(n) : "a"(value) : "memory", "cc");
	return to;
}

void *memcpy(void *to, const void *from, size_t n)
{
	void *at = to;
	asm volatile("cld; rep movsb" : "+D"(at), "+S"(from), "+c"(n)::"memory", "cc");
	return to;
}

void *memmove(void *to, const void *from, size_t n)
{
	if ((uintptr_t)to - (uintptr_t)from >= n)
		return memcpy(to, from, n);
	const char *source = (const char *)from + n - 1;
	char *target = (char *)to + n - 1;
	asm volatile("std; rep movsb; cld" : "+D"(target), "+S"(source), "+c"(n)::"memory", "cc");
	return to;
}

int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return (unsigned char)*a - (unsigned char)*b;
}

void copy_string(char *to, const char *from, unsigned n)
{
	while (n > 1 && *from)
		*to++ = *from++, n--;
	*to = 0;
}
