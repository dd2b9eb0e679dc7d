/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gives back in capitals what is typed on the serial port, up to a full stop: all by interrupts, halted in between. */
#include "irq.h"

enum { DATA_ = UART, IER, IIR, LCR, MCR, LSR, MSR };
enum { THR_EMPTY = 2, RECEIVED = 4, TIMED_OUT = 12 };

static char waiting[4096];
static volatile unsigned n_received, n_sent, n_strays;
static volatile bool done;

static void receive(void)
{
    while (inb(LSR) & 1) {
        char c = (char)inb(DATA_);
        done = done || c == '.';
        if (n_received < sizeof waiting)
            waiting[n_received++] = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
    }
}

static void handler(struct frame *frame)
{
    if (frame->vector != IRQ_BASE + IRQ_UART) {
        n_strays++;
        return;
    }
    for (uint8_t cause = inb(IIR) & 15; !(cause & 1); cause = inb(IIR) & 15) {
        if (cause == RECEIVED || cause == TIMED_OUT) {
            receive();
            outb(IER, 1);
            outb(IER, 3); /* there may be something to send again */
        } else if (cause == THR_EMPTY && n_sent < n_received) {
            outb(DATA_, (uint8_t)waiting[n_sent++]);
        }
    }
    irq_end(IRQ_UART);
}

int main(void)
{
    on_interrupt = handler;
    pic_set_up();
    outb(LCR, 0x83);
    outb(DATA_, 1);
    outb(IER, 0);
    outb(LCR, 3);
    outb(IIR, 0x87);
    outb(MCR, 0x0b);
    outb(IER, 3);
    irq_mask(IRQ_UART, false);
    while (!done || n_sent < n_received)
        halt();
    outb(IER, 0);
    print("\n");
    show("strays", n_strays);
    return 0;
}
