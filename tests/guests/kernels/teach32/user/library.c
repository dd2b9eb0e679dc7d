/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>

#include "user.h"

asm(".global _start\n_start: call start_main\n");

/* What stands below the return address of _start's call: a word, argc, argv. */
__attribute__((noreturn, used)) void start_main(int unused, int argc, char **argv)
{
	(void)unused;
	exit(main(argc, argv));
}

int run(const char *name, char *const *arguments)
{
	int status, pid = fork();
	if (pid == 0) {
		exec(name, arguments);
		exit(127);
	}
	return wait(&status) == pid ? status : -2;
}

static char *put_number(char *to, uint32_t value, uint32_t base)
{
	char digits[12];
	int n = 0;
	do
		digits[n++] = "0123456789abcdef"[value % base];
	while (value /= base);
	while (n)
		*to++ = digits[--n];
	return to;
}

/* One line, in one write. Knows %d, %x, %s. */
void say(const char *format, ...)
{
	char line[200], *to = line;
	va_list list;
	va_start(list, format);
	for (; *format; format++) {
		if (*format != '%') {
			*to++ = *format;
		} else if (*++format == 's') {
			for (const char *s = va_arg(list, const char *); *s;)
				*to++ = *s++;
		} else {
			uint32_t value = va_arg(list, uint32_t);
			if (*format == 'd' && (int)value < 0) {
				*to++ = '-';
				value = -value;
			}
			to = put_number(to, value, *format == 'x' ? 16 : 10);
		}
	}
	*to++ = '\n';
	write(1, line, to - line);
	va_end(list);
}
