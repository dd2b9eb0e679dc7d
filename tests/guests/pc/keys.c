/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shows what is typed, up to Escape: IRQ 1 by the 8259, scan codes of set 1, halted in between. */
#include "text.h"

enum { IRQ_KEYBOARD = 1, RELEASED = 0x80, ESCAPE = 0x01, SHIFT = 0x2a, OTHER_SHIFT = 0x36, CONTROL = 0x1d };
#ifndef BOOT_LOOPS
#define BOOT_LOOPS 1
#endif
enum { BLANK = 0x0720 };

/* By scan code. */
static const char plain[] = "\0\033" "1234567890-=\b\tqwertyuiop[]\n\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
static const char shifted[] = "\0\033" "!@#$%^&*()_+\b\tQWERTYUIOP{}\n\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";

static unsigned at, n_strays;
static bool is_shifted, is_control;
static volatile bool done;

static void put(char c)
{
    if (c == '\n') {
        at += COLUMNS - at % COLUMNS;
    } else if (c == '\b') {
        if (at % COLUMNS)
            SCREEN[--at] = BLANK;
    } else {
        SCREEN[at++] = (uint16_t)(0x0a00 | (uint8_t)c);
    }
    if (at >= ROWS * COLUMNS) {
        scroll(0, ROWS, BLANK);
        at -= COLUMNS;
    }
    crtc_pair(CURSOR, at);
}

static void key(uint8_t code)
{
    bool is_down = !(code & RELEASED);
    code &= (uint8_t)~RELEASED;
    if (code == SHIFT || code == OTHER_SHIFT)
        is_shifted = is_down;
    else if (code == CONTROL)
        is_control = is_down;
    else if (code == ESCAPE)
        done = done || is_down;
    else if (is_down && code < sizeof plain && plain[code]) {
        if (is_control)
            put('^');
        put(is_shifted ? shifted[code] : plain[code]);
    }
}

static void handler(struct frame *frame)
{
    if (frame->vector != IRQ_BASE + IRQ_KEYBOARD) {
        n_strays++;
        return;
    }
    key(inb(0x60));
    irq_end(IRQ_KEYBOARD);
}

int main(void)
{
    on_interrupt = handler;
    fill(0, ROWS * COLUMNS, BLANK);
    crtc_pair(START, 0);
    put('>');
    for (volatile unsigned i = 0; i < BOOT_LOOPS; i++)
        ; /* a kernel that takes its time: what is typed meanwhile is not lost */
    while (inb(0x64) & 1)
        inb(0x60);
    pic_set_up();
    irq_mask(IRQ_KEYBOARD, false);
    print("ready\n");
    while (!done)
        halt();
    show("strays", n_strays);
    return leave();
}
