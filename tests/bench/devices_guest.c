/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What kernels do to a PC's devices over and over. Command line: which of it (a number), and how often. */
#include <stdbool.h>
#include <stdint.h>

#include <pv/interrupt.h>
#include <pv/timer.h>

#include "../guests/arguments.h"

static inline uint8_t in8(uint16_t ioport)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "d"(ioport));
    return value;
}

static inline uint32_t in32(uint16_t ioport)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "d"(ioport));
    return value;
}

static inline void out8(uint16_t ioport, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "d"(ioport));
}

static volatile uint64_t n_handled;

static void handled(void *context, struct pv_trap_frame *frame)
{
    (void)context, (void)frame;
    n_handled++;
}

static volatile uint32_t *apic(uint32_t offset)
{
    return (volatile uint32_t *)(uintptr_t)(0xfee00000u + offset);
}

enum { PORT_B, LATCH, CLOCK, RETRACE, KEYBOARD, MASK, PM_TIMER, POST, APIC_READ, SELF, APIC_TIMER, APIC_DEADLINE, TICK, TRANSMIT };

static void access_once(unsigned long what)
{
    switch (what) {
    case PORT_B:
        in8(0x61);
        break;
    case LATCH: /* of counter 0, and both bytes */
        out8(0x43, 0);
        in8(0x40);
        in8(0x40);
        break;
    case CLOCK: /* is there an update in progress? */
        out8(0x70, 0x0a);
        in8(0x71);
        break;
    case RETRACE:
        in8(0x3da);
        break;
    case KEYBOARD:
        in8(0x64);
        break;
    case MASK:
        out8(0x21, in8(0x21));
        break;
    case PM_TIMER:
        in32(0x608);
        break;
    case POST:
        out8(0x80, 1);
        break;
    case APIC_READ: /* the current count, ISR, IRR */
        (void)*apic(0x390);
        (void)*apic(0x110);
        (void)*apic(0x210);
        break;
    case SELF:
        pv_interrupt_raise();
        break;
    case TRANSMIT: /* a byte, the interrupt that asks for the next one, and nothing more to send */
        out8(0x3f9, 2);
        out8(0x3f8, '.');
        in8(0x3fa);
        out8(0x3f9, 0);
        break;
    case APIC_DEADLINE: /* one-shot, put off each time */
        *apic(0x380) = 100000000;
        break;
    }
}

/* Interrupts of a timer, each awaited with HLT: what an idle kernel does. */
static void idle(unsigned long n)
{
    while (n_handled < n)
        pv_interrupts_wait();
}

int main(void)
{
    unsigned long what = argument(0, 0), n = argument(1, 1000);
    if (pv_interrupt_set(PV_SOURCE_SELF, handled, 0) != 0)
        return 1;
    if (what == APIC_TIMER) { /* by the vector of PV_SOURCE_SELF, which is in ICR */
        pv_interrupts_disable();
        pv_interrupt_raise();
        *apic(0x3e0) = 0xb;
        *apic(0x320) = 0x20000 | (*apic(0x300) & 0xff);
        *apic(0x380) = 1000000;
        idle(n);
        *apic(0x380) = 0;
        return 0;
    }
    if (what == APIC_DEADLINE)
        *apic(0x3e0) = 0xb, *apic(0x320) = *apic(0x300) & 0xff;
    if (what == TICK) {
        pv_timer_set_periodic(1000000, handled, 0);
        idle(n);
        return 0;
    }
    pv_interrupts_enable();
    for (unsigned long i = 0; i < n; i++)
        access_once(what);
    if (what == SELF && n_handled != n)
        return 1;
    return 0;
}
