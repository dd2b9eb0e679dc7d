/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The serial port's registers, I/O ports that nobody has, wide and repeated accesses. */
#include "pc.h"

enum { DATA_, IER, IIR, LCR, MCR, LSR, MSR, SCR };

static uint8_t get(unsigned at)
{
    return inb((uint16_t)(0x3f8 + at));
}

static void put(unsigned at, uint8_t value)
{
    outb((uint16_t)(0x3f8 + at), value);
}

int main(void)
{
    put(LCR, 0x83);
    put(DATA_, 0x0c);
    put(IER, 0x01);
    uint8_t low = get(DATA_), high = get(IER), lcr = get(LCR);
    put(DATA_, 1);
    put(IER, 0);
    put(LCR, 3);
    show("divisor", (uint64_t)high << 8 | low);
    show("line control", lcr);
    show("line control", get(LCR));
    show("interrupts enabled", get(IER));
    put(SCR, 0x5a);
    show("scratch", get(SCR));
    show("line status", get(LSR) & 0x61);
    show("interrupt identification", get(IIR));
    put(IIR, 1);
    show("with FIFOs", get(IIR));
    put(IIR, 0);
    show("without", get(IIR));
    put(MCR, 0x1f);
    uint8_t control = get(MCR), all = get(MSR) & 0xf0;
    put(MCR, 0x12);
    uint8_t some = get(MSR) & 0xf0, idle = get(LSR) & 3;
    put(DATA_, 'x');
    uint8_t ready = get(LSR) & 3, looped = get(DATA_), read = get(LSR) & 3;
    put(DATA_, 'y');
    put(DATA_, 'z');
    uint8_t overrun = get(LSR) & 3, last = get(DATA_), after = get(LSR) & 3;
    put(MCR, 0x03);
    show("modem control", control);
    show("modem status, looped back", all);
    show("less of it", some);
    show("nothing received", idle);
    show("one byte looped back", ready);
    show("it", looped);
    show("it is gone", read);
    show("two, the first not read", overrun);
    show("the second", last);
    show("the overrun is told once", after);
    show("modem status", get(MSR) & 0xf0);
    show("nobody's, 8 bits", inb(0x2e8));
    uint32_t wide;
    __asm__ volatile("inl %1, %0" : "=a"(wide) : "d"((uint16_t)0x2e8));
    show("32 bits", wide);
    __asm__ volatile("xor %0, %0; inw %1, %w0" : "=&a"(wide) : "d"((uint16_t)0x2e8));
    show("16 bits", wide);
    outb(0x2e8, 1);
    __asm__ volatile("outw %w0, %1" : : "a"(0x5a00 | 'w'), "d"((uint16_t)0x3f8));
    put(IER, 0);
    print(" by a wide access\n");
    const char *text = "a string at once\n";
    word n = 17;
    __asm__ volatile("rep outsb" : "+S"(text), "+c"(n) : "d"(0x3f8));
    char into[4] = {0};
    void *to = into;
    n = 4;
    __asm__ volatile("rep insb" : "+D"(to), "+c"(n) : "d"(0x3ff) : "memory");
    show("read at once", (uint64_t)(uint8_t)into[0] << 8 | (uint8_t)into[3]);
    return 0;
}
