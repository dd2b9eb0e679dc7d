/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 8254: latch, read-back, the modes' outputs and interrupts, channel 2 and I/O port 0x61. */
#include "irq.h"

static void handler(struct frame *frame)
{
    irq_count[frame->vector - IRQ_BASE]++;
    irq_end((unsigned)frame->vector - IRQ_BASE);
}

static unsigned read_count(unsigned channel)
{
    unsigned low = inb((uint16_t)(PIT + channel));
    return low | (unsigned)inb((uint16_t)(PIT + channel)) << 8;
}

static unsigned latched(unsigned channel)
{
    outb(PIT + 3, (uint8_t)(channel << 6));
    return read_count(channel);
}

static uint8_t status(unsigned channel)
{
    outb(PIT + 3, (uint8_t)(0xe0 | 2u << channel));
    return inb((uint16_t)(PIT + channel));
}

static void spin(unsigned n)
{
    for (volatile unsigned i = 0; i < n; i++)
        ;
}

static void gate(bool on)
{
    outb(0x61, (uint8_t)((inb(0x61) & 0x0c) | on));
}

static bool output_2(void)
{
    return inb(0x61) & 0x20;
}

static void wait_for_output_2(bool level)
{
    while (output_2() != level)
        spin(20);
}

static void counting(void)
{
    gate(false);
    pit_start(2, 0, 0x1234);
    spin(100);
    show("mode 0, gate low: status", status(2) & 0xbf);
    unsigned before = latched(2);
    spin(3000);
    show("  the count stands still", latched(2) == before);
    gate(true);
    unsigned first = latched(2);
    spin(3000);
    unsigned second = latched(2);
    show("gate high: it counts down", second < first && first <= 0x1234);
    gate(false);
    first = latched(2);
    spin(3000);
    show("gate low again: it stands", latched(2) == first);

    /* A latch holds one value until it is read; a second latch before that does nothing. */
    gate(true);
    pit_start(2, 2, 0xffff);
    outb(PIT + 3, 0x80);
    spin(3000);
    outb(PIT + 3, 0x80);
    unsigned held = read_count(2), after = latched(2);
    show("the first of two latches is read", held - after > 2);
    show("  and it was early", held > 0xff00);

    /* Read-back of count and status together: the status comes first. */
    gate(false);
    pit_start(2, 0, 0x5678);
    outb(PIT + 3, 0xc8);
    uint8_t both = inb(PIT + 2);
    show("read-back of both: status", both & 0xbf);
    show("  count", read_count(2) >> 6 == 0x5678 >> 6);
    outb(PIT + 3, 0xd8);
    show("read-back of the count only", read_count(2) >> 6 == 0x5678 >> 6);
    outb(PIT + 3, 0xf8);
    show("read-back of nothing: a plain read", read_count(2) >> 6 == 0x5678 >> 6);

    static const uint8_t access[] = {0x90, 0xa0, 0xb0};
    for (unsigned i = 0; i < 3; i++) {
        outb(PIT + 3, access[i]);
        outb(PIT + 2, 0x12);
        if (access[i] == 0xb0)
            outb(PIT + 2, 0x34);
        show("status by access mode", status(2) & 0x3f);
        if (access[i] == 0xb0) {
            show("  two bytes", read_count(2));
        } else {
            show("  one byte", inb(PIT + 2));
        }
    }
    outb(PIT + 3, 0xb0);
    show("a control word and no count: it is not loaded", status(2) >> 6 & 1);
    outb(PIT + 2, 0x10);
    show("nor after one of two bytes", status(2) >> 6 & 1);
    outb(PIT + 2, 0x10);
    spin(3000);
    show("but after both", status(2) >> 6 & 1);
    outb(PIT + 3, 0xb1);
    outb(PIT + 2, 0x34);
    outb(PIT + 2, 0x12);
    show("in BCD", read_count(2));
    show("  status", status(2) & 0x3f);
}

static void modes(void)
{
    static const char *const names[] = {"mode 0", "mode 1", "mode 2", "mode 3", "mode 4", "mode 5", "mode 6",
        "mode 7"};
    for (unsigned mode = 0; mode < 8; mode++) {
        gate(false);
        pit_start(2, (uint8_t)mode, 0x4000);
        print(names[mode]);
        show(": status", status(2) & 0x0e);
        print(names[mode]);
        show(": output with the gate low", output_2());
    }
    gate(false);
    pit_start(2, 0, 100);
    gate(true);
    wait_for_output_2(true);
    show("mode 0 ends high", output_2());
    spin(3000);
    show("  and stays so", output_2());
    pit_start(2, 0, 0xffff);
    show("  until the next count", output_2());
    pit_start(2, 3, 400);
    unsigned changes = 0;
    for (unsigned i = 0; i < 6; i++) {
        wait_for_output_2(i & 1);
        changes++;
    }
    show("mode 3 is a square wave", changes);
    gate(false);
    pit_start(2, 1, 200);
    show("mode 1 waits high", output_2());
    gate(true);
    spin(20);
    show("  goes low by the gate's edge", output_2());
    wait_for_output_2(true);
    show("  and high at its end", output_2());
    gate(false);
}

static void interrupts(void)
{
    pic_set_up();
    on_interrupt = handler;
    pit_start(0, 0, 100);
    irq_mask(IRQ_PIT, false);
    halt();
    wait_us(400);
    open_window();
    show("mode 0 interrupts once", irq_count[0]);
    pit_start(0, 0, 100);
    halt();
    show("  and again with the next count", irq_count[0]);
    pit_start(0, 4, 100);
    halt();
    wait_us(400);
    open_window();
    show("mode 4 interrupts once", irq_count[0]);
    for (uint8_t mode = 2; mode <= 3; mode++) {
        pit_start(0, mode, 120);
        irq_count[0] = 0;
        for (unsigned i = 0; i < 4; i++)
            halt();
        show("modes 2 and 3 go on", irq_count[0]);
    }
    /* Two counters by the same clock: 2000 of one are 20 of 100 of the other. */
    pit_start(0, 2, 100);
    halt();
    irq_count[0] = 0;
    gate(false);
    pit_start(2, 0, 2050);
    gate(true);
    while (!output_2())
        halt();
    show("ticks of 100 until 2050 are over", irq_count[0]);
    irq_mask(IRQ_PIT, true);
    show("channel 0: mode", status(0) & 0x3f);
    pit_start(0, 3, 0);
    unsigned largest = 0;
    for (unsigned i = 0; i < 16; i++) {
        unsigned now = latched(0);
        spin(200);
        largest = now > largest ? now : largest;
    }
    show("a count of 0 is 65536", largest > 0xf000);
    show("  and even in mode 3", latched(0) & 1);
}

static void port_61(void)
{
    outb(0x61, 0x03);
    show("I/O port 0x61 keeps", inb(0x61) & 0x03);
    outb(0x61, 0);
    show("  and forgets", inb(0x61) & 0x03);
    bool toggles = false;
    uint8_t first = inb(0x61) & 0x10;
    for (unsigned i = 0; i < 100000 && !toggles; i++)
        toggles = (inb(0x61) & 0x10) != first;
    show("  its refresh bit toggles", toggles);
}

int main(void)
{
    counting();
    modes();
    interrupts();
    port_61();
    return 0;
}
