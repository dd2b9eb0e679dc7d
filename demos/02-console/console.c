/* SPDX-License-Identifier: MIT */
/*
 * One text in four ways to the console, and three lines back from it. What it prints is the same in every machine; what it
 * costs is not: `pvisor compare console` has a row for each of the functions below.
 */
#include <stdbool.h>

#include <pv/console.h>
#include <pv/interrupt.h>
#include <pv/power.h>
#include <pv/printf.h>
#ifndef PV_MODE_FULL
#include <pv/console_ring.h>
#endif

#define N_LINES    8
#define LINE_BYTES 64 /* with its end */
#define LINE_MAX   40

static char text[N_LINES * LINE_BYTES];

/* Functions that are called once, from here, and still are not to vanish in main. */
#define WATCHED __attribute__((noinline))

static void compose(void)
{
    for (int line = 0; line < N_LINES; line++) {
        char *at = text + line * LINE_BYTES;
        for (int i = 0; i < LINE_BYTES - 1; i++)
            at[i] = (char)('a' + (line + i) % 26);
        at[LINE_BYTES - 1] = '\n';
    }
}

WATCHED void print_bytes(void)
{
    for (size_t i = 0; i < sizeof text; i++)
        pv_putc(text[i]);
}

WATCHED void print_lines(void)
{
    for (size_t i = 0; i < sizeof text; i += LINE_BYTES)
        pv_write(text + i, LINE_BYTES);
}

WATCHED void print_all(void)
{
    pv_write(text, sizeof text);
}

/* A line, byte by byte as pv_getc gives them. */
struct line {
    char bytes[LINE_MAX];
    size_t n;
    volatile bool is_whole;
};

static void add(struct line *line, int c)
{
    if (c == '\n') {
        line->bytes[line->n] = '\0';
        line->is_whole = true;
    } else if (line->n < LINE_MAX - 1) {
        line->bytes[line->n++] = (char)c;
    }
}

/* Ask, and ask, and ask. */
WATCHED void read_by_asking(struct line *line)
{
    while (!line->is_whole) {
        int c = pv_getc();
        if (c >= 0)
            add(line, c);
    }
}

/* Bytes behind the line's end are left for the next reader, who is told of them again. */
static void take_input(void *context, struct pv_trap_frame *frame)
{
    (void)frame;
    struct line *line = context;
    while (!line->is_whole) {
        int c = pv_getc();
        if (c < 0)
            return;
        add(line, c);
    }
}

/* Sleep until there is something. */
WATCHED void read_by_being_told(struct line *line)
{
    pv_interrupts_disable();
    pv_console_on_input(take_input, line);
    while (!line->is_whole)
        pv_interrupts_wait();
    pv_interrupt_mask(PV_SOURCE_CONSOLE);
}

/* From here on pv/console.h goes by the ring, where there is one. */
WATCHED void use_ring(void)
{
#ifdef PV_MODE_FULL
    __asm__ volatile("" : : : "memory"); /* a PC's serial port has none; but this function is to be seen */
#else
    if (pv_console_connect() != 0)
        pv_crash("there is no console ring");
#endif
}

WATCHED void print_by_ring(void)
{
    pv_write(text, sizeof text);
}

WATCHED void read_by_ring(struct line *line)
{
    read_by_being_told(line);
}

int main(void)
{
    struct line asked = {.n = 0}, told = {.n = 0}, ring = {.n = 0};
    compose();
    pv_puts("byte by byte:");
    print_bytes();
    pv_puts("line by line:");
    print_lines();
    pv_puts("all at once:");
    print_all();
    pv_puts("Type three lines.");
    read_by_asking(&asked);
    pv_printf("asked:           %s\n", asked.bytes);
    read_by_being_told(&told);
    pv_printf("was told:        %s\n", told.bytes);
    use_ring();
    print_by_ring();
    read_by_ring(&ring);
    pv_printf("told by a ring:  %s\n", ring.bytes);
    return 0;
}
