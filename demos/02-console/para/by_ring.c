/* SPDX-License-Identifier: MIT */
/* A ring in a page that guest and hypervisor share: both find there what the other has left, without asking for it. */
#include <pv/console_ring.h>
#include <pv/power.h>

#include "../by_ring.h"

void print_by_ring(const char *text, size_t size)
{
    if (pv_console_ring_write(text, size) < 0)
        pv_crash("there is no console ring");
}

void read_by_ring(char *line, size_t size)
{
    for (size_t n = 0;;) {
        char c;
        if (pv_console_ring_read(&c, 1) < 0)
            pv_crash("there is no console ring");
        if (c == '\n') {
            line[n] = '\0';
            return;
        }
        if (n < size - 1)
            line[n++] = c;
    }
}
