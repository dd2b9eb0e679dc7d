/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The serial line, by polling. */
#include <stdarg.h>

#include "kernel.h"

enum { COM1 = 0x3F8 };

void console_init(void)
{
	static const u8 setting[][2] = {{1, 0}, {3, 0x80}, {0, 1}, {1, 0}, {3, 3}, {2, 1}, {4, 3}};
	for (u32 i = 0; i < sizeof setting / 2; i++)
		outb(COM1 + setting[i][0], setting[i][1]);
}

void put_text(const char *text, u64 n)
{
	for (u64 i = 0; i < n; i++) {
		while (!(inb(COM1 + 5) & 0x20))
			;
		outb(COM1, text[i]);
	}
}

void print(const char *format, ...)
{
	char digits[24];
	va_list list;
	va_start(list, format);
	for (; *format; format++) {
		if (*format != '%') {
			put_text(format, 1);
			continue;
		}
		bool is_long = *++format == 'l';
		format += is_long;
		if (*format == 's') {
			for (const char *s = va_arg(list, const char *); *s; s++)
				put_text(s, 1);
			continue;
		}
		u64 value = is_long ? va_arg(list, u64) : va_arg(list, u32), base = *format == 'x' ? 16 : 10, i = 24;
		do
			digits[--i] = "0123456789abcdef"[value % base];
		while (value /= base);
		put_text(digits + i, 24 - i);
	}
	va_end(list);
}

void panic(const char *text)
{
	print("panic: %s\n", text);
	power_off(0x7F);
}

void power_off(u8 status)
{
	outb(0xF4, status);
	for (;;)
		asm volatile("cli; hlt");
}
