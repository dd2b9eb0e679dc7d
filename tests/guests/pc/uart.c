/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The UART's interrupt causes and FIFOs, by loopback; what it shows is kept until it prints again. */
#include "pc.h"

enum { DATA_, IER, IIR, LCR, MCR, LSR, MSR };
enum { MAX_FACTS = 64 };

static struct {
    const char *name;
    uint8_t value;
} facts[MAX_FACTS];
static unsigned n_facts;

static void put(unsigned at, uint8_t value)
{
    outb((uint16_t)(0x3f8 + at), value);
}

static uint8_t get(unsigned at)
{
    return inb((uint16_t)(0x3f8 + at));
}

static void note(const char *name, unsigned at)
{
    facts[n_facts].name = name;
    facts[n_facts++].value = get(at);
}

static void send(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        put(DATA_, (uint8_t)(i + 1));
}

static void at_entry(void)
{
    note("modem control at entry", MCR);
    note("line status", LSR);
    note("modem status", MSR);
    note("interrupts enabled", IER);
    note("line control", LCR);
    note("interrupt identification", IIR);
    put(LCR, 0x83);
    note("divisor, low", 0);
    note("divisor, high", 1);
    put(0, 0); /* 50 baud: nothing here takes four characters' time, on the slowest host */
    put(1, 9);
    put(LCR, 3);
}

static void transmitter(void)
{
    put(IER, 2);
    note("THR empty, enabled", IIR);
    note("told once", IIR);
    put(IER, 2);
    note("enabled again", IIR);
    put(IER, 0);
    put(IER, 2);
    note("disabled and enabled", IIR);
    put(MCR, 0x1b);
    put(DATA_, 'x');
    note("after a byte", IIR);
    note("told once", IIR);
    get(DATA_);
    put(IIR, 5);
    note("FIFO cleared", IIR);
    put(IER, 0);
}

static void receiver(void)
{
    put(IIR, 0x87);
    get(MSR);
    put(IER, 1);
    note("nothing received", IIR);
    send(7);
    note("one below the trigger level", IIR);
    put(DATA_, 8);
    note("at the trigger level", IIR);
    note("first byte", DATA_);
    note("below it again", IIR);
    send(12);
    note("line status, overrun", LSR);
    note("told once", LSR);
    put(IER, 5);
    put(DATA_, 1);
    note("overrun before data", IIR);
    note("line status", LSR);
    note("data", IIR);
    for (unsigned i = 0; i < 15; i++)
        get(DATA_);
    note("last byte", DATA_);
    note("none left", DATA_);
    note("line status", LSR);
    send(3);
    put(IIR, 0x83);
    note("cleared", LSR);
    send(3);
    put(IIR, 0);
    note("FIFOs off", LSR);
    note("and not identified", IIR);
}

int main(void)
{
    at_entry();
    transmitter();
    receiver();
    put(IER, 0);
    put(MCR, 3);
    for (unsigned i = 0; i < n_facts; i++)
        show(facts[i].name, facts[i].value);
    return 0;
}
