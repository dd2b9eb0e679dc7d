/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How kernels measure their CPU and timers against the 8254, the RTC and the PM timer. The figures of all ways agree, roughly.
 */
#include "irq.h"

static uint64_t rdtsc(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

/* Is it what it should be? A busy emulator is late at times. */
static bool about(uint64_t value, uint64_t right)
{
    return value * 2 > right && value < right * 4;
}

static unsigned pit_count(void)
{
    outb(0x43, 0);
    unsigned low = inb(0x40);
    return low | (unsigned)inb(0x40) << 8;
}

/* As Linux does: channel 2, mode 0, polled by bit 5 of port 0x61. */
static uint64_t by_channel_2(void)
{
    outb(0x61, (inb(0x61) & ~2) | 1);
    outb(0x43, 0xb0);
    outb(0x42, 149 & 0xff);
    outb(0x42, 149 >> 8);
    uint64_t begin = rdtsc();
    unsigned n = 0;
    while (!(inb(0x61) & 0x20))
        n++;
    uint64_t end = rdtsc();
    show("loops while channel 2 counts", n > 10);
    return end - begin;
}

/* As others do: the high byte of channel 2 is watched. */
static uint64_t by_high_byte(void)
{
    outb(0x61, (inb(0x61) & ~2) | 1);
    outb(0x43, 0xb0);
    outb(0x42, 0xff);
    outb(0x42, 0xff);
    inb(0x42);
    uint8_t first = inb(0x42), now;
    uint64_t begin = rdtsc();
    do {
        inb(0x42);
        now = inb(0x42);
    } while ((uint8_t)(first - now) < 2); /* at least a whole one: 256 clocks */
    return rdtsc() - begin;
}

/* Channel 0 is latched until it has gone down by so much. */
static uint64_t by_latch(void)
{
    outb(0x43, 0x34);
    outb(0x40, 0);
    outb(0x40, 0);
    unsigned first = pit_count(), now;
    uint64_t begin = rdtsc();
    do
        now = pit_count();
    while (((first - now) & 0xffff) < 149);
    return rdtsc() - begin;
}

/* Read back: status and count of channel 0. */
static void read_back(void)
{
    outb(0x43, 0x36);
    outb(0x40, 0);
    outb(0x40, 0x80);
    outb(0x43, 0xe2);
    show("8254: its status", inb(0x40) & 0x3f);
    outb(0x43, 0xd2);
    unsigned low = inb(0x40);
    show("its count is below 0x8000", (low | (unsigned)inb(0x40) << 8) <= 0x8000);
}

static volatile word n_ticks;
static volatile uint64_t tick_tsc[16];

static void on_tick(struct frame *frame)
{
    if (frame->vector == IRQ_BASE) {
        if (n_ticks < 16)
            tick_tsc[n_ticks] = rdtsc();
        n_ticks++;
        outb(0x20, 0x20);
    } else if (frame->vector == IRQ_BASE + 8) {
        outb(0x70, 0x0c);
        n_ticks += inb(0x71) != 0;
        outb(0xa0, 0x20);
        outb(0x20, 0x20);
    } else {
        n_ticks++;
        *(volatile uint32_t *)0xfee000b0 = 0;
    }
}

/* By interrupts at 8000 Hz, waiting with HLT; then by a loop that is counted (BogoMIPS). */
static uint64_t by_ticks(void)
{
    pit_start(0, 2, 149);
    irq_mask(0, false);
    n_ticks = 0;
    while (n_ticks < 4)
        halt();
    uint64_t time = tick_tsc[3] - tick_tsc[2];
    __asm__ volatile("sti");
    word before = n_ticks;
    while (n_ticks == before)
        ;
    before = n_ticks;
    word loops = 0;
    while (n_ticks == before)
        loops++;
    __asm__ volatile("cli");
    show("a loop is counted", loops > 10);
    irq_mask(0, true);
    return time;
}

static uint64_t by_rtc_interrupt(void)
{
    outb(0x70, 0x8a);
    uint8_t a = inb(0x71);
    outb(0x70, 0x8a);
    outb(0x71, (a & 0xf0) | 6); /* 1024 Hz */
    outb(0x70, 0x8b);
    uint8_t b = inb(0x71);
    outb(0x70, 0x8b);
    outb(0x71, b | 0x40);
    outb(0x70, 0x0c);
    inb(0x71);
    irq_mask(8, false);
    n_ticks = 0;
    halt();
    uint64_t begin = rdtsc();
    while (n_ticks < 2)
        halt();
    uint64_t time = rdtsc() - begin;
    outb(0x70, 0x8b);
    outb(0x71, b);
    outb(0x70, 0x0c);
    inb(0x71);
    irq_mask(8, true);
    return time;
}

static uint32_t pm_timer(void)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"((uint16_t)0x608));
    return value & 0xffffff;
}

static uint64_t by_pm_timer(void)
{
    uint32_t first = pm_timer();
    uint64_t begin = rdtsc();
    while (((pm_timer() - first) & 0xffffff) < 447)
        ;
    return rdtsc() - begin;
}

#define APIC(offset) (*(volatile uint32_t *)(0xfee00000 + (offset)))

/* The local APIC's timer: how far in 125 us of channel 2; then the same by it, with an interrupt. */
static uint64_t by_apic(void)
{
    wrmsr(0x1b, rdmsr(0x1b) | 0x800);
    show("APIC: version", APIC(0x30) & 0xff);
    APIC(0xf0) = 0x1ff;
    APIC(0x3e0) = 3; /* by 16 */
    APIC(0x320) = 0x10000 | 0x40;
    APIC(0x380) = 0xffffffff;
    by_channel_2();
    uint32_t counted = 0xffffffff - APIC(0x390);
    APIC(0x320) = 0x10000;
    show("it has counted", counted > 100);
    APIC(0x320) = 0x20040; /* periodic */
    APIC(0x3e0) = 3;
    APIC(0x380) = counted;
    n_ticks = 0;
    uint64_t begin = rdtsc();
    while (n_ticks < 1)
        halt();
    uint64_t time = rdtsc() - begin;
    APIC(0x320) = 0x10040;
    APIC(0x380) = 0;
    return time;
}

int main(void)
{
#ifdef __x86_64__
    extern uint64_t table3[512];
    static uint64_t directory[512] __attribute__((aligned(4096)));
    directory[0x1f7] = 0xfee00000 | 0x9b;
    table3[3] = (word)directory | 3;
    write_cr3(read_cr3());
#endif
    use_all_gates();
    pic_set_up();
    on_interrupt = on_tick;
    uint64_t right = by_channel_2();
    show("125 us by channel 2 take TSC clocks", right > 50000);
    show("by its high byte, the same", about(by_high_byte(), 3 * right));
    show("by latches of channel 0", about(by_latch(), right));
    read_back();
    show("by ticks", about(by_ticks(), right));
    show("by the PM timer", about(by_pm_timer(), right));
    show("by the RTC's periodic interrupt", about(by_rtc_interrupt(), 8 * right));
    show("by the APIC's timer", about(by_apic(), right));
    uint8_t first = inb(0x61) & 0x10;
    unsigned n = 0, toggles = 0;
    for (; n < 1000000 && toggles < 9; n++) /* 125 us at 15 us, as old drivers wait */
        if ((inb(0x61) & 0x10) != first) {
            toggles++;
            first ^= 0x10;
        }
    show("refresh toggles", toggles);
    return 0;
}
