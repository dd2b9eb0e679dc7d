/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The console by its ring: 64 KiB at once, then each byte of input echoed from an interrupt until a dot comes. */
#include <stdbool.h>

#include <pv/console.h>
#include <pv/console_ring.h>
#include <pv/entropy.h>
#include <pv/printf.h>

static char text[65536];
static unsigned n_bytes, n_interrupts;
static volatile bool is_over;

static void came(void *context, struct pv_trap_frame *frame)
{
    int c;
    (void)context, (void)frame;
    n_interrupts++;
    while ((c = pv_getc()) >= 0) {
        n_bytes++;
        pv_printf("<%c>", c);
        if (c == '.')
            is_over = true;
    }
}

int main(void)
{
    unsigned char random[5000];
    unsigned sum = 0;
    pv_printf("connect: %d\n", pv_console_connect());
    pv_printf("again: %d\n", pv_console_connect());
    for (unsigned i = 0; i < sizeof text; i++)
        text[i] = i % 64 == 63 ? '\n' : (char)('A' + i / 64 % 26);
    if (pv_write(text, sizeof text) != (long)sizeof text)
        return 1;
    pv_printf("on input: %d\n", pv_console_on_input(came, NULL));
    while (!is_over)
        pv_interrupts_wait();
    pv_printf("\n%u bytes, %s\n", n_bytes, n_interrupts > 1 ? "several interrupts" : "one interrupt");
    pv_printf("nobody again: %d\n", pv_console_on_input(NULL, NULL));
    pv_printf("entropy: %d\n", pv_entropy(random, sizeof random));
    for (unsigned i = 0; i < sizeof random; i++)
        sum = sum * 31 + random[i];
    pv_printf("%08x\n", sum);
    return 0;
}
