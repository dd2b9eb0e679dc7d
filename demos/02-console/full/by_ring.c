/* SPDX-License-Identifier: MIT */
/* A PC's serial port has no ring: there is no other way than the one that it has. */
#include <pv/console.h>

#include "../by_ring.h"

void print_by_ring(const char *text, size_t size)
{
    pv_write(text, size);
}

static void wake(void *context, struct pv_trap_frame *frame)
{
    (void)context, (void)frame;
}

void read_by_ring(char *line, size_t size)
{
    pv_console_on_input(wake, NULL);
    for (size_t n = 0;;) {
        int c = pv_getc();
        if (c < 0) {
            pv_interrupts_wait();
        } else if (c == '\n') {
            line[n] = '\0';
            return;
        } else if (n < size - 1) {
            line[n++] = (char)c;
        }
    }
}
