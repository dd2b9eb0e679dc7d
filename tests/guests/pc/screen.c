/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text with attributes, a region that scrolls, the cursor, and a picture that begins further down in the memory. */
#include "text.h"

enum { BLANK = 0x0720, BEGIN = 5 }; /* the line of the memory that is shown first */

static void frame(unsigned top, unsigned bottom)
{
    put_at(top, 0, 0x0b, "\xc9");
    put_at(top, COLUMNS - 1, 0x0b, "\xbb");
    put_at(bottom, 0, 0x0b, "\xc8");
    put_at(bottom, COLUMNS - 1, 0x0b, "\xbc");
    for (unsigned column = 1; column < COLUMNS - 1; column++) {
        put_at(top, column, 0x0b, "\xcd");
        put_at(bottom, column, 0x0b, "\xcd");
    }
    for (unsigned row = top + 1; row < bottom; row++) {
        put_at(row, 0, 0x0b, "\xba");
        put_at(row, COLUMNS - 1, 0x0b, "\xba");
    }
}

static void colours(unsigned row)
{
    for (unsigned i = 0; i < 16; i++) {
        char digits[] = {"0123456789abcdef"[i], 0};
        put_at(row, 2 + 3 * i, (uint8_t)i, digits);
        put_at(row, 3 + 3 * i, (uint8_t)(i << 4 | 0x0f), "\xfe");
    }
}

/* Lines come in at the bottom, byte by byte, and go out at the top. */
static void scrolling(unsigned first, unsigned end)
{
    for (unsigned line = 0; line < 30; line++) {
        scroll(first, end, BLANK);
        volatile uint8_t *at = (volatile uint8_t *)(SCREEN + (end - 1) * COLUMNS + 4);
        for (const char *text = "line "; *text; text++, at += 2)
            *at = (uint8_t)*text;
        at[0] = (uint8_t)('0' + line / 10);
        at[2] = (uint8_t)('0' + line % 10);
    }
}

static unsigned wait_for_status(uint8_t bit, bool level)
{
    for (unsigned i = 0; i < 1000000; i++) {
        if (!(inb(SCREEN_STATUS) & bit) == !level)
            return 1;
        for (volatile unsigned pause = 0; pause < 100; pause++)
            ;
    }
    return 0;
}

int main(void)
{
    fill(0, 40 * COLUMNS, BLANK);
    put_at(0, 0, 0x4f, "above the picture: nobody sees this");
    fill(BEGIN * COLUMNS, (BEGIN + 1) * COLUMNS, 0x1f20);
    put_at(BEGIN, 30, 0x1f, "A title, in white on blue");
    frame(BEGIN + 1, BEGIN + 4);
    colours(BEGIN + 2);
    put_at(BEGIN + 3, 2, 0x8c, "This blinks, \x01 and \xe1 is a letter.");
    scrolling(BEGIN + 5, BEGIN + 23);
    put_at(BEGIN + 24, 79, 0x0e, "!");
    put_at(BEGIN + 25, 0, 0x4f, "below the picture: nobody sees this either");
    crtc_pair(START, BEGIN * COLUMNS);
    crtc_pair(CURSOR, (BEGIN + 22) * COLUMNS + 11);
    crtc(CURSOR_BEGIN, 0x00);
    crtc(CURSOR_LAST, 0x0f);
    show("start", (word)crtc_register(START) << 8 | crtc_register(START + 1));
    show("cursor", (word)crtc_register(CURSOR) << 8 | crtc_register(CURSOR + 1));
    show("its last line", crtc_register(CURSOR_LAST));
    show("the first place", SCREEN[BEGIN * COLUMNS + 30]);
    show("vertical retrace", wait_for_status(8, true));
    show("  and not", wait_for_status(8, false));
    show("no display", wait_for_status(1, true));
    show("  display", wait_for_status(1, false));
    return leave();
}
