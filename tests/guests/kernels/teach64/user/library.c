/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>

#include "user.h"

void *memset(void *to, int value, size_t n)
{
	void *at = to;
	asm volatile("rep stosb" : "+D"(at), "+c"(n) : "a"(value) : "memory");
	return to;
}

void *memcpy(void *to, const void *from, size_t n)
{
	void *at = to;
	asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(n)::"memory");
	return to;
}

static char *put_number(char *to, u64 value, u32 base)
{
	char digits[24];
	int n = 0;
	do
		digits[n++] = "0123456789abcdef"[value % base];
	while (value /= base);
	while (n)
		*to++ = digits[--n];
	return to;
}

/* Knows %d and %x of int, %lx and %lu of u64, %s; ends the line. */
void say(const char *format, ...)
{
	char line[256], *to = line;
	va_list list;
	va_start(list, format);
	for (; *format; format++) {
		if (*format != '%') {
			*to++ = *format;
			continue;
		}
		bool is_long = *++format == 'l';
		format += is_long;
		if (*format == 's') {
			for (const char *s = va_arg(list, const char *); *s;)
				*to++ = *s++;
			continue;
		}
		u64 value = is_long ? va_arg(list, u64) : va_arg(list, u32);
		if (*format == 'd' && (int)value < 0) {
			*to++ = '-';
			value = -(int)value;
		}
		to = put_number(to, value, *format == 'x' ? 16 : 10);
	}
	*to++ = '\n';
	call(SYS_WRITE, (u64)line, to - line, 0);
	va_end(list);
}

struct start {
	void (*what)(u64);
	u64 argument;
};

__attribute__((force_align_arg_pointer, noreturn)) static void thread_main(struct start *start)
{
	start->what(start->argument);
	for (;;)
		call(SYS_THREAD_EXIT, 0, 0, 0);
}

/* The stack is fresh memory; its top says what to do. */
void thread_start(void (*what)(u64), u64 argument)
{
	u8 *stack = map(4 * PAGE, CAN_READ | CAN_WRITE);
	struct start *start = (struct start *)(stack + 4 * PAGE - sizeof *start);
	*start = (struct start){what, argument};
	if ((int)call(SYS_THREAD, (u64)thread_main, (u64)start, (u64)start))
		say("no thread");
}

/* 0: free, 1: held, 2: held and somebody waits. */
void lock(volatile u32 *word)
{
	u32 expected = 0;
	if (__atomic_compare_exchange_n(word, &expected, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	while (__atomic_exchange_n(word, 2, __ATOMIC_ACQUIRE))
		call(SYS_FUTEX_WAIT, (u64)word, 2, 0);
}

void unlock(volatile u32 *word)
{
	if (__atomic_exchange_n(word, 0, __ATOMIC_RELEASE) == 2)
		call(SYS_FUTEX_WAKE, (u64)word, 0, 0);
}

void await(volatile u32 *word, u32 value)
{
	for (u32 now; (now = *word) != value;)
		call(SYS_FUTEX_WAIT, (u64)word, now, 0);
}
