/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Waits for one line of input, and gives it back. */
#include <pv/console.h>
#include <pv/cpu.h>
#include <pv/printf.h>

int main(void)
{
    char line[128];
    int length = 0;
    for (;;) {
        int c = pv_getc();
        if (c < 0) {
            pv_cpu_yield();
            continue;
        }
        if (c == '\n')
            break;
        if (length < (int)sizeof line)
            line[length++] = (char)c;
    }
    pv_printf("you said: %.*s\n", length, line);
    return 0;
}
