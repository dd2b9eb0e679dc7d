/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 8259 pair at vectors 0x20 and 0x28, channel 0 of the 8254 as a source and channel 2 as a watch. */
#ifndef TEST_IRQ_H
#define TEST_IRQ_H
#include "pc.h"

enum { PIC1 = 0x20, PIC2 = 0xa0, IRQ_BASE = 0x20, PIT = 0x40, UART = 0x3f8 };
enum { IRQ_PIT = 0, IRQ_CASCADE = 2, IRQ_UART = 4, IRQ_RTC = 8 };

static volatile word irq_count[16];
static char irq_log[80]; /* one letter an event */
static volatile unsigned n_logged;

static inline void log_event(char c)
{
    if (n_logged < sizeof irq_log - 1)
        irq_log[n_logged++] = c;
}

static inline void print_log(const char *name)
{
    irq_log[n_logged] = 0;
    n_logged = 0;
    print(name);
    print(": ");
    print(irq_log);
    print("\n");
}

static inline void pic_begin(uint16_t pic, uint8_t base, uint8_t cascade, uint8_t icw4)
{
    outb(pic, 0x11);
    outb((uint16_t)(pic + 1), base);
    outb((uint16_t)(pic + 1), cascade);
    outb((uint16_t)(pic + 1), icw4);
}

/* Both masked but for the cascade. */
static inline void pic_set_up(void)
{
    pic_begin(PIC1, IRQ_BASE, 4, 1);
    pic_begin(PIC2, IRQ_BASE + 8, 2, 1);
    outb(PIC1 + 1, 0xfb);
    outb(PIC2 + 1, 0xff);
}

static inline void irq_mask(unsigned irq, bool masked)
{
    uint16_t at = irq < 8 ? PIC1 + 1 : PIC2 + 1;
    uint8_t bit = (uint8_t)(1u << (irq & 7));
    outb(at, masked ? inb(at) | bit : inb(at) & (uint8_t)~bit);
}

static inline void irq_end(unsigned irq)
{
    if (irq >= 8)
        outb(PIC2, 0x20);
    outb(PIC1, 0x20);
}

static inline uint8_t pic_requests(uint16_t pic)
{
    outb(pic, 0x0a);
    return inb(pic);
}

static inline uint8_t pic_in_service(uint16_t pic)
{
    outb(pic, 0x0b);
    return inb(pic);
}

static inline void pit_start(unsigned channel, uint8_t mode, uint16_t count)
{
    outb(PIT + 3, (uint8_t)(channel << 6 | 0x30 | mode << 1));
    outb((uint16_t)(PIT + channel), (uint8_t)count);
    outb((uint16_t)(PIT + channel), (uint8_t)(count >> 8));
}

/* No interrupts: waits by channel 2, whose output can be read at I/O port 0x61. At most 50 ms. */
static inline void wait_us(unsigned us)
{
    uint8_t control = inb(0x61) & 0x0c;
    outb(0x61, control);
    pit_start(2, 0, (uint16_t)(us * 1193u / 1000u));
    outb(0x61, control | 1);
    while (!(inb(0x61) & 0x20))
        for (volatile unsigned i = 0; i < 100; i++)
            ;
}

static inline void halt(void)
{
    __asm__ volatile("sti; hlt; cli" : : : "memory");
}

/* Lets everything through that is pending. */
static inline void open_window(void)
{
    __asm__ volatile("sti; nop; nop; jmp 1f; 1: nop; jmp 1f; 1: cli" : : : "memory");
}

/* The transmitter's interrupt: it is there as long as the holding register is empty and IER asks for it. */
static inline void uart_request(bool on)
{
    outb(UART + 4, 0x0b); /* OUT2 lets it through */
    outb(UART + 1, on ? 2 : 0);
}

static inline uint8_t cmos(uint8_t index)
{
    outb(0x70, index);
    return inb(0x71);
}

static inline void set_cmos(uint8_t index, uint8_t value)
{
    outb(0x70, index);
    outb(0x71, value);
}
#endif
