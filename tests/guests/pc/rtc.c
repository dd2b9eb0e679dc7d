/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The MC146818: registers, formats, the update cycle, interrupts, and the memory size that firmware leaves. */
#include "irq.h"

enum { SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM, WEEKDAY, DAY, MONTH, YEAR, REG_A, REG_B, REG_C,
       REG_D, CENTURY = 0x32 };
enum { SET = 0x80, PIE = 0x40, AIE = 0x20, UIE = 0x10, SQWE = 8, BINARY = 4, HOURS_24 = 2 };

static volatile uint8_t flags_inside;
static void handler(struct frame *frame)
{
    irq_count[frame->vector - IRQ_BASE]++;
    flags_inside = cmos(REG_C);
    irq_end((unsigned)frame->vector - IRQ_BASE);
}

static void set_time(uint8_t mode, uint8_t hours, uint8_t minutes, uint8_t seconds)
{
    set_cmos(REG_B, SET | mode);
    set_cmos(WEEKDAY, 3); /* a Tuesday */
    set_cmos(DAY, mode & BINARY ? 28 : 0x28);
    set_cmos(MONTH, 2);
    set_cmos(YEAR, mode & BINARY ? 23 : 0x23);
    set_cmos(CENTURY, mode & BINARY ? 20 : 0x20);
    set_cmos(HOURS, hours);
    set_cmos(MINUTES, minutes);
    set_cmos(SECONDS, seconds);
    set_cmos(REG_B, mode);
}

/* One update by the update-ended interrupt. */
static void next_second(void)
{
    uint8_t mode = cmos(REG_B);
    cmos(REG_C);
    set_cmos(REG_B, mode | UIE);
    halt();
    set_cmos(REG_B, mode);
}

static void show_time(const char *name)
{
    show(name, (uint64_t)cmos(HOURS) << 16 | (uint64_t)cmos(MINUTES) << 8 | cmos(SECONDS));
}

static void registers(void)
{
    show("D: the battery is good", cmos(REG_D));
    set_cmos(REG_D, 0);
    show("  and read-only", cmos(REG_D));
    cmos(REG_C);
    set_cmos(REG_C, 0xff);
    show("C: read-only", cmos(REG_C));
    set_cmos(REG_A, 0x26);
    show("A", cmos(REG_A) & 0x7f);
    set_cmos(REG_A, 0xaf);
    show("A: bit 7 is read-only, the rest is kept", cmos(REG_A) & 0x7f);
    set_cmos(REG_A, 0x26);
    set_cmos(REG_B, SET | SQWE | BINARY | HOURS_24);
    show("B", cmos(REG_B));
    set_cmos(SECONDS_ALARM, 0x12);
    set_cmos(MINUTES_ALARM, 0x34);
    set_cmos(HOURS_ALARM, 0xff);
    show("alarm", (uint64_t)cmos(HOURS_ALARM) << 16 | (uint64_t)cmos(MINUTES_ALARM) << 8 | cmos(SECONDS_ALARM));
    set_cmos(0x40, 0x5a);
    set_cmos(0x41, 0xa5);
    show("memory", (uint64_t)cmos(0x40) << 8 | cmos(0x41));
    outb(0x70, 0xc0); /* bit 7 is the NMI mask, and no part of the index */
    show("  by an index with bit 7", inb(0x71));
    outb(0x70, 0);
}

static void memory_size(void)
{
    show("base memory in KiB", (uint64_t)cmos(0x16) << 8 | cmos(0x15));
    show("KiB above 1 MiB", (uint64_t)cmos(0x18) << 8 | cmos(0x17));
    show("  again", (uint64_t)cmos(0x31) << 8 | cmos(0x30));
    show("units of 64 KiB above 16 MiB", (uint64_t)cmos(0x35) << 8 | cmos(0x34));
}

static void formats(void)
{
    set_time(HOURS_24, 0x23, 0x59, 0x58);
    show_time("BCD, 24 hours");
    next_second();
    show_time("  a second later");
    next_second();
    show_time("  and at midnight");
    show("  the date",
        (uint64_t)cmos(YEAR) << 24 | (uint64_t)cmos(MONTH) << 16 | (uint64_t)cmos(DAY) << 8 | cmos(WEEKDAY));
    set_time(BINARY | HOURS_24, 12, 59, 59);
    show_time("binary, 24 hours");
    next_second();
    show_time("  a second later");
    set_time(0, 0x91, 0x59, 0x59);
    show_time("BCD, 12 hours: 11 in the evening");
    next_second();
    show_time("  a second later: 12 at night");
    set_time(0, 0x11, 0x59, 0x59);
    next_second();
    show_time("  noon");
    set_time(BINARY, 0x80 | 12, 59, 59);
    next_second();
    show_time("binary, 12 hours: one in the afternoon");
    set_time(HOURS_24, 0x08, 0x09, 0x09);
    next_second();
    show_time("BCD carries");
    set_cmos(REG_B, SET | HOURS_24);
    set_cmos(SECONDS, 0x30);
    wait_us(1500);
    show_time("SET holds the time");
    show("  and there is no update", cmos(REG_A) & 0x80);
    set_cmos(REG_B, HOURS_24);
}

static void interrupts(void)
{
    set_cmos(REG_A, 0x23); /* 8192 Hz */
    cmos(REG_C);
    irq_count[8] = 0;
    wait_us(400);
    open_window();
    show("no interrupt without PIE", irq_count[8]);
    show("  but its flag", cmos(REG_C) & 0xc0);
    set_cmos(REG_B, HOURS_24 | PIE);
    for (unsigned i = 0; i < 3; i++)
        halt();
    show("periodic interrupts", irq_count[8]);
    show("  C inside", flags_inside & 0xc0);
    wait_us(400);
    show("C with one pending", cmos(REG_C) & 0xc0);
    show("  it is cleared by the read", cmos(REG_C) & 0x80);
    open_window();
    set_cmos(REG_B, HOURS_24);
    cmos(REG_C);
    set_time(HOURS_24, 0x10, 0x20, 0x29);
    set_cmos(SECONDS_ALARM, 0x30);
    set_cmos(MINUTES_ALARM, 0x20);
    set_cmos(HOURS_ALARM, 0x10);
    cmos(REG_C);
    set_cmos(REG_B, HOURS_24 | AIE);
    irq_count[8] = 0;
    halt();
    show("alarm", irq_count[8]);
    show("  C inside", flags_inside & 0xa0);
    show_time("  the time");
    set_cmos(SECONDS_ALARM, 0xff); /* any second */
    set_cmos(MINUTES_ALARM, 0xff);
    set_cmos(HOURS_ALARM, 0xff);
    cmos(REG_C);
    irq_count[8] = 0;
    halt();
    halt();
    show("alarm each second", irq_count[8]);
    show_time("  the time");
    set_cmos(REG_B, HOURS_24);
    next_second();
    show("update-ended", flags_inside & 0x90);
    show("  UIP behind it", cmos(REG_A) & 0x80);
}

int main(void)
{
    memory_size();
    pic_set_up();
    on_interrupt = handler;
    registers();
    irq_mask(IRQ_RTC, false);
    formats();
    interrupts();
    return 0;
}
