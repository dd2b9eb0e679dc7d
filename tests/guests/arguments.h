/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers from the command line of a test guest. */
#ifndef TEST_ARGUMENTS_H
#define TEST_ARGUMENTS_H

#include <stddef.h>

#include <pv/start.h>

/* The INDEX-th word of the command line as a decimal number; FALLBACK when there is none. */
static inline unsigned long argument(size_t index, unsigned long fallback)
{
    const char *at = pv_cmdline();
    for (;;) {
        while (*at == ' ')
            at++;
        if (index-- == 0)
            break;
        while (*at != ' ' && *at != '\0')
            at++;
    }
    if (*at < '0' || *at > '9')
        return fallback;
    unsigned long number = 0;
    for (; *at >= '0' && *at <= '9'; at++)
        number = number * 10 + (unsigned long)(*at - '0');
    return number;
}

#endif /* TEST_ARGUMENTS_H */
