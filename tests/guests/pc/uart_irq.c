/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 16550A's interrupts: THRE, received data, line and modem status, their priorities, FIFOs, OUT2. */
#include "irq.h"

enum { DATA_, IER, IIR, LCR, MCR, LSR, MSR, SCR };
enum { RX = 1, THRE = 2, LINE = 4, MODEM = 8 };
enum { DTR = 1, RTS = 2, OUT1 = 4, OUT2 = 8, LOOP = 0x10 };

static uint8_t get(unsigned at)
{
    return inb((uint16_t)(UART + at));
}

static void put(unsigned at, uint8_t value)
{
    outb((uint16_t)(UART + at), value);
}

static char facts[4096];
static unsigned n_facts;

/* Nothing is printed while the UART is being tested. */
static void keep(const char *text)
{
    while (*text && n_facts < sizeof facts - 1)
        facts[n_facts++] = *text++;
}

static void fact(const char *name, unsigned value)
{
    keep(name);
    keep(": 0x");
    for (int shift = 12; shift >= 0; shift -= 4)
        if (value >> shift || !shift)
            keep((char[]){"0123456789abcdef"[value >> shift & 15], 0});
    keep("\n");
}

static volatile uint8_t cause;
static void handler(struct frame *frame)
{
    irq_count[frame->vector - IRQ_BASE]++;
    cause = get(IIR);
    put(IER, 0);
    irq_end((unsigned)frame->vector - IRQ_BASE);
}

/* How many interrupts come, and why. */
static void interrupts(const char *name)
{
    cause = 0;
    word before = irq_count[IRQ_UART];
    open_window();
    wait_us(20);
    open_window();
    fact(name, (unsigned)(irq_count[IRQ_UART] - before));
    if (cause)
        fact("  IIR inside", cause);
}

static void drain(void)
{
    put(IER, 0);
    for (unsigned i = 0; i < 20; i++)
        get(DATA_);
    get(LSR);
    get(MSR);
    get(IIR);
}

/* Not in loopback: there a PC's OUT2 is off, and an emulator may or may not know. */
static void transmit(void)
{
    put(MCR, DTR | RTS | OUT2);
    drain();
    put(IER, THRE);
    fact("THRE: IIR", get(IIR));
    fact("  it is cleared by the read", get(IIR));
    put(IER, 0);
    put(IER, THRE);
    fact("  it comes again with IER", get(IIR));
    put(IER, 0);
    get(IIR);
    put(IER, THRE);
    interrupts("an interrupt by THRE");
    put(MCR, DTR | RTS);
    put(IER, THRE);
    interrupts("not without OUT2");
    fact("  IIR has it", get(IIR));
    put(MCR, OUT2 | LOOP);
    irq_mask(IRQ_UART, true);
    drain();
}

static void receive(void)
{
    put(IER, RX);
    fact("nothing received: IIR", get(IIR));
    put(DATA_, 'x');
    wait_us(300);
    fact("a byte received: IIR until it is read", get(IIR));
    fact("  again", get(IIR));
    fact("  LSR", get(LSR) & 1);
    fact("  the byte", get(DATA_));
    fact("  IIR behind it", get(IIR));
    put(DATA_, 'y');
    wait_us(300);
    fact("a second one: IIR", get(IIR));
    get(DATA_);
    drain();
}

static void priorities(void)
{
    put(MCR, OUT2 | LOOP);
    drain();
    put(MCR, OUT2 | LOOP | RTS); /* CTS changes */
    put(DATA_, 'a');
    wait_us(300);
    put(DATA_, 'b'); /* overruns */
    wait_us(300);
    put(IER, RX | THRE | LINE | MODEM);
    fact("all at once: IIR", get(IIR));
    fact("  LSR: overrun, data ready", get(LSR) & 3);
    fact("  then", get(IIR));
    fact("  the byte", get(DATA_));
    fact("  then", get(IIR));
    fact("  at last", get(IIR));
    fact("  MSR: CTS and its change", get(MSR));
    fact("  then", get(IIR));
    drain();
}

static void modem(void)
{
    put(MCR, OUT2 | LOOP);
    drain();
    static const struct {
        const char *name;
        uint8_t control;
    } steps[] = {{"DTR on: DSR", OUT2 | LOOP | DTR}, {"RTS on: CTS", OUT2 | LOOP | DTR | RTS},
                 {"OUT1 on: RI", OUT2 | LOOP | DTR | RTS | OUT1}, {"OUT2 off: DCD", LOOP | DTR | RTS | OUT1},
                 {"OUT1 off: the ring ends", LOOP | DTR | RTS}, {"all off", LOOP}, {"OUT2 on", LOOP | OUT2}};
    for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++) {
        put(MCR, steps[i].control);
        fact(steps[i].name, get(MSR));
        fact("  the change is told once", get(MSR) & 15);
    }
    put(IER, MODEM);
    put(MCR, OUT2 | LOOP | RTS);
    fact("an interrupt by CTS: IIR until MSR is read", get(IIR));
    get(MSR);
    fact("  and behind", get(IIR));
    drain();
}

static void fifo(void)
{
    put(IIR, 0x81); /* FIFOs, an interrupt from 8 bytes on */
    drain();
    put(IER, RX);
    for (unsigned i = 0; i < 7; i++) {
        put(DATA_, (uint8_t)('0' + i));
        wait_us(200);
    }
    put(DATA_, '7');
    wait_us(200);
    fact("FIFO of 8: IIR", get(IIR));
    unsigned sum = 0;
    for (unsigned i = 0; i < 8; i++)
        sum += get(DATA_);
    fact("  the bytes", sum);
    fact("  LSR", get(LSR) & 1);
    fact("  IIR behind them", get(IIR));
    for (unsigned i = 0; i < 3; i++) {
        put(DATA_, (uint8_t)('a' + i));
        wait_us(200);
    }
    put(IER, 0);
    put(IIR, 0x83); /* clears what was received */
    fact("cleared: LSR", get(LSR) & 1);
    put(DATA_, 'z');
    wait_us(300);
    fact("the next byte", get(DATA_));
    put(IIR, 0);
    fact("without FIFOs: IIR", get(IIR) & 0xc0);
    drain();
}

int main(void)
{
    pic_set_up();
    on_interrupt = handler;
    wait_us(3000);
    put(LCR, 0x80);
    uint8_t low = get(DATA_), high = get(IER);
    put(DATA_, 1); /* 115200 baud: a byte is over in 87 us */
    put(IER, 0);
    put(LCR, 3);
    put(IIR, 0);
    put(MCR, OUT2 | LOOP);
    drain();
    irq_mask(IRQ_UART, false);
    put(SCR, 0xa5);
    fact("scratch", get(SCR));
    put(IER, 0xff);
    fact("IER has four bits", get(IER));
    put(IER, 0);
    get(IIR);
    put(MCR, 0xff);
    fact("MCR has five bits", get(MCR));
    put(MCR, OUT2 | LOOP);
    drain();
    transmit();
    receive();
    priorities();
    modem();
    fifo();
    irq_mask(IRQ_UART, true);
    put(LCR, 0x83);
    put(DATA_, low);
    put(IER, high);
    put(LCR, 3);
    put(MCR, 3);
    print(facts);
    return 0;
}
