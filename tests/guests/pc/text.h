/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The PC's text screen: 80 by 25 places at 0xb8000, and the CRTC behind I/O ports 0x3d4 and 0x3d5. */
#ifndef TEST_TEXT_H
#define TEST_TEXT_H
#include "irq.h"

enum { COLUMNS = 80, ROWS = 25, CRTC = 0x3d4, SCREEN_STATUS = 0x3da };
enum { CURSOR_BEGIN = 0x0a, CURSOR_LAST = 0x0b, START = 0x0c, CURSOR = 0x0e };
#define SCREEN ((volatile uint16_t *)0xb8000)

static inline void crtc(uint8_t index, uint8_t value)
{
    outb(CRTC, index);
    outb(CRTC + 1, value);
}

static inline uint8_t crtc_register(uint8_t index)
{
    outb(CRTC, index);
    return inb(CRTC + 1);
}

/* A pair of registers, such as START or CURSOR. */
static inline void crtc_pair(uint8_t index, unsigned value)
{
    crtc(index, (uint8_t)(value >> 8));
    crtc((uint8_t)(index + 1), (uint8_t)value);
}

static inline void put_at(unsigned row, unsigned column, uint8_t attribute, const char *text)
{
    for (unsigned at = row * COLUMNS + column; *text; text++)
        SCREEN[at++] = (uint16_t)(attribute << 8 | (uint8_t)*text);
}

static inline void fill(unsigned first, unsigned end, uint16_t place)
{
    for (unsigned i = first; i < end; i++)
        SCREEN[i] = place;
}

/* By two places at once: lines FIRST to END move up by one, and the last becomes blank. */
static inline void scroll(unsigned first, unsigned end, uint16_t blank)
{
    volatile uint32_t *pairs = (volatile uint32_t *)SCREEN;
    for (unsigned i = first * COLUMNS / 2; i < (end - 1) * COLUMNS / 2; i++)
        pairs[i] = pairs[i + COLUMNS / 2];
    fill((end - 1) * COLUMNS, end * COLUMNS, blank);
}

/* The end: with STAY the machine goes on, so that its screen can be looked at from outside. */
static inline int leave(void)
{
    print("done\n");
#ifdef STAY
    for (;;)
        halt();
#endif
    return 0;
}
#endif
