/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How kernels look for devices that may not be there, and set up those that are. */
#include "text.h"

static inline uint16_t inw(uint16_t ioport)
{
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(ioport));
    return value;
}

static inline uint32_t inl(uint16_t ioport)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(ioport));
    return value;
}

static inline void outl(uint16_t ioport, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(ioport));
}

static void io_wait(void)
{
    outb(0x80, 0);
}

/* Channel 0: the count between two latches goes down. */
static unsigned pit_count(void)
{
    outb(0x43, 0);
    unsigned low = inb(0x40);
    return low | (unsigned)inb(0x40) << 8;
}

static void serial(uint16_t port)
{
    outb(port + 7, 0xae);
    bool scratch = inb(port + 7) == 0xae;
    outb(port + 4, 0x1e); /* loopback */
    outb(port + 1, 0);
    outb(port + 3, 0x80);
    outb(port, 3);
    outb(port + 1, 0);
    outb(port + 3, 3);
    outb(port + 2, 0xc7);
    uint8_t iir = inb(port + 2);
    for (unsigned i = 0; i < 100 && (inb(port + 5) & 1); i++)
        inb(port);
    outb(port, 0xae);
    for (unsigned i = 0; i < 30000 && !(inb(port + 5) & 1); i++)
        ;
    uint8_t back = inb(port);
    outb(port + 4, 0x0f);
    show("UART at", port);
    show("  scratch", scratch);
    show("  IIR", iir);
    show("  loopback", back == 0xae);
    show("  LSR", inb(port + 5) & 0x9f);
    show("  MSR", inb(port + 6) & 0xf0);
    if (back == 0xae) { /* 16550A? */
        outb(port + 2, 0xe7);
        show("  16550A", inb(port + 2) >> 6);
        outb(port + 2, 0);
        show("  without FIFO", inb(port + 2) >> 6);
        outb(port + 4, 3);
    }
}

static bool ata_identify(uint16_t io, uint16_t control, uint8_t drive)
{
    show("ATA at", io);
    show("  drive", drive);
    outb(control, 2);
    outb(io + 6, (uint8_t)(0xa0 | drive << 4));
    for (unsigned i = 0; i < 4; i++)
        inb(control);
    outb(io + 2, 0x55);
    outb(io + 3, 0xaa);
    show("  registers", inb(io + 2) << 8 | inb(io + 3));
    outb(io + 2, 0);
    outb(io + 3, 0);
    outb(io + 4, 0);
    outb(io + 5, 0);
    outb(io + 7, 0xec);
    uint8_t status = inb(io + 7);
    show("  status", status);
    if (!status || status == 0xff)
        return false;
    for (unsigned i = 0; i < 100000 && (status & 0x80); i++)
        status = inb(io + 7);
    show("  LBA mid and high", inb(io + 4) | inb(io + 5) << 8);
    for (unsigned i = 0; i < 100000 && !(status & 9); i++)
        status = inb(io + 7);
    show("  at last", status & 0xe9);
    if (!(status & 8))
        return false;
    uint16_t words[256];
    for (unsigned i = 0; i < 256; i++)
        words[i] = inw(io);
    show("  sectors", words[60] | (uint32_t)words[61] << 16);
    show("  LBA", words[49] >> 9 & 1);
    show("  behind it", inb(io + 7) & 0xe9);
    return true;
}

static void ata_reset(uint16_t io, uint16_t control)
{
    outb(control, 6);
    for (unsigned i = 0; i < 100; i++)
        io_wait();
    outb(control, 2);
    unsigned i = 0;
    while (i < 100000 && (inb(io + 7) & 0x80))
        i++;
    outb(io + 6, 0xa0);
    inb(control);
    show("after a reset: BSY", inb(io + 7) >> 7);
    show("  signature", inb(io + 2) | inb(io + 3) << 8 | inb(io + 4) << 16 | (uint32_t)inb(io + 5) << 24);
}

static void pci(void)
{
    outb(0xcfb, 1);
    uint32_t saved = inl(0xcf8);
    outl(0xcf8, 0x80000000);
    bool type1 = inl(0xcf8) == 0x80000000;
    outl(0xcf8, saved);
    show("PCI: mechanism 1", type1);
    outb(0xcfb, 0);
    outb(0xcf8, 0);
    outb(0xcfa, 0);
    show("PCI: mechanism 2", inb(0xcf8) == 0 && inb(0xcfa) == 0);
    unsigned found = 0, wrong = 0;
    for (unsigned device = 0; device < 32; device++)
        for (unsigned function = 0; function < 8; function++) {
            outl(0xcf8, 0x80000000 | device << 11 | function << 8 | 8 << 16); /* bus 8: none has it */
            uint32_t id = inl(0xcfc);
            found += id != 0xffffffff;
            wrong += inw(0xcfe) != 0xffff || inb(0xcff) != 0xff;
        }
    show("  devices on bus 8", found);
    show("  by bytes and words", wrong);
    outl(0xcf8, 0);
    show("  disabled", inl(0xcfc));
}

static uint8_t kbd_status(uint8_t mask, uint8_t value)
{
    for (unsigned i = 0; i < 100000; i++)
        if ((inb(0x64) & mask) == value)
            return 1;
    return 0;
}

static void kbd_write(uint8_t port, uint8_t value)
{
    kbd_status(2, 0);
    outb(port, value);
}

static int kbd_read(void)
{
    return kbd_status(1, 1) ? inb(0x60) : -1;
}

static void keyboard(void)
{
    while (inb(0x64) & 1)
        inb(0x60);
    kbd_write(0x64, 0xad);
    kbd_write(0x64, 0xa7);
    inb(0x60);
    kbd_write(0x64, 0x20);
    int config = kbd_read();
    show("i8042: configuration", (unsigned)config & 0x44);
    kbd_write(0x64, 0x60);
    kbd_write(0x60, (uint8_t)(config & ~3));
    kbd_write(0x64, 0xaa);
    show("  self test", (unsigned)kbd_read());
    kbd_write(0x64, 0xab);
    show("  first port", (unsigned)kbd_read());
    kbd_write(0x64, 0xae);
    kbd_write(0x60, 0xff);
    show("  keyboard's reset", (unsigned)kbd_read());
    show("  its test", (unsigned)kbd_read());
    kbd_write(0x60, 0xed);
    show("  LEDs", (unsigned)kbd_read());
    kbd_write(0x60, 7);
    show("  which", (unsigned)kbd_read());
    kbd_write(0x60, 0xf3);
    show("  rate", (unsigned)kbd_read());
    kbd_write(0x60, 0);
    show("  what", (unsigned)kbd_read());
    kbd_write(0x60, 0xee);
    show("  echo", (unsigned)kbd_read());
    kbd_write(0x60, 0xf5);
    show("  off", (unsigned)kbd_read());
    kbd_write(0x60, 0xf2);
    show("  identity", (unsigned)kbd_read());
    int a = kbd_read(), b = kbd_read();
    show("  it is", (unsigned)(a | b << 8));
    kbd_write(0x60, 0xf0);
    kbd_read();
    kbd_write(0x60, 0);
    show("  scan code set", (unsigned)kbd_read());
    show("  number", (unsigned)kbd_read());
    kbd_write(0x60, 0xf4);
    show("  on", (unsigned)kbd_read());
    kbd_write(0x64, 0x60);
    kbd_write(0x60, 0x47);
    show("  nothing left", inb(0x64) & 3);
    uint8_t control = inb(0x61); /* XT: acknowledge */
    outb(0x61, control | 0x80);
    outb(0x61, control);
}

static void vga(void)
{
    crtc_pair(CURSOR, 0x123);
    show("cursor", (unsigned)crtc_register(CURSOR) << 8 | crtc_register(CURSOR + 1));
    crtc(0x0a, 0x20);
    show("cursor off", crtc_register(0x0a));
    crtc(0x0a, 14);
    crtc(0x0b, 15);
    inb(0x3da);
    outb(0x3c0, 0x10);
    uint8_t mode = inb(0x3c1);
    outb(0x3c0, mode & (uint8_t)~8); /* no blinking */
    outb(0x3c0, 0x20);
    inb(0x3da);
    outb(0x3c6, 0xff);
    outb(0x3c8, 1);
    outb(0x3c9, 0x2a);
    outb(0x3c9, 0);
    outb(0x3c9, 0x15);
    outb(0x3c7, 1);
    for (unsigned i = 0; i < 3; i++)
        inb(0x3c9);
    inb(0x3cc);
    for (unsigned i = 0; i < 100000 && (inb(0x3da) & 8); i++)
        ;
    for (unsigned i = 0; i < 100000 && !(inb(0x3da) & 8); i++)
        ;
    print("retrace\n");
    uint16_t saved = SCREEN[0];
    SCREEN[0] = 0xa55a;
    show("colour screen", SCREEN[0]);
    SCREEN[0] = saved;
    for (unsigned i = 0; i < COLUMNS * ROWS; i++)
        SCREEN[i] = 0x0720;
    scroll(0, ROWS, 0x0720);
}

static void clock(void)
{
    while (cmos(0x0a) & 0x80)
        ;
    show("RTC: A", cmos(0x0a) & 0x7f);
    show("RTC: B", cmos(0x0b) & 0x7f);
    uint8_t second = cmos(0);
    unsigned sane = cmos(0x02) < 0x60 && cmos(0x04) < 0x24 && cmos(0x08) <= 0x12 && second < 0x60;
    show("RTC: BCD", sane);
    outb(0x70, 0x8b);
    uint8_t b = inb(0x71);
    outb(0x70, 0x8b);
    outb(0x71, b | 0x40);
    outb(0x70, 0x0c);
    inb(0x71);
    outb(0x70, 0x8b);
    show("RTC: periodic", inb(0x71) & 0x40);
    outb(0x70, 0x0b);
    outb(0x71, b);
    outb(0x70, 0x10); /* floppies */
    show("CMOS: floppies", inb(0x71) & 0xf);
}

static void pic_probe(void)
{
    outb(0xa1, 0xff);
    outb(0x21, 0xfb);
    outb(0x21, 0x55);
    show("8259 is there", inb(0x21));
    pic_set_up();
    io_wait();
    outb(0x20, 0x0a);
    show("IRR of an idle 8259", inb(0x20) & ~1 & ~2);
    outb(0x20, 0x0b);
    show("ISR", inb(0x20));
    for (unsigned irq = 0; irq < 16; irq++)
        irq_end(irq);
    show("ELCR", inb(0x4d0) & 0x07);
}

int main(void)
{
    unsigned a = pit_count();
    for (unsigned i = 0; i < 1000; i++)
        io_wait();
    show("the 8254 counts", pit_count() != a);
    pic_probe();
    serial(0x2f8);
    serial(0x3e8);
    serial(0x2e8);
    serial(0x3f8);
    ata_identify(0x1f0, 0x3f6, 0);
    ata_identify(0x1f0, 0x3f6, 1);
    ata_identify(0x170, 0x376, 0);
    ata_identify(0x170, 0x376, 1);
    ata_reset(0x1f0, 0x3f6);
    pci();
    keyboard();
    vga();
    clock();
    show("floppy controller", inb(0x3f4));
    show("parallel port", inb(0x378));
    show("game port", inb(0x201));
    show("sound", inb(0x388));
    show("DMA", inb(0x08));
    outb(0x0d, 0);
    outb(0xda, 0);
    return leave();
}
