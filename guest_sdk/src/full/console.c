/* SPDX-License-Identifier: MIT */
/*
 * The console as a PC has it: a 16550 UART. One byte, one OUT; the FIFO saves asking before each byte, but not the OUT
 * itself. Its twin hands over a whole buffer by one hypercall.
 */
#include <stdbool.h>
#include <stdint.h>

#include <pv/console.h>

#include "io.h"
#include "uart.h"

#define DATA (UART + 0) /* RBR and THR; the divisor's low byte while DLAB is set */
#define IER  (UART + 1) /* interrupt enable; the divisor's high byte while DLAB is set */
#define FCR  (UART + 2) /* write: FIFO control */
#define IIR  (UART + 2) /* read: bits 7 and 6 tell that the FIFO works */
#define LCR  (UART + 3)
#define MCR  (UART + 4)
#define LSR  UART_LSR

#define IER_DATA_READY 0x01
#define IER_THR_EMPTY  0x02
#define FCR_ENABLE     0x01
#define IIR_FIFO       0xc0
#define LCR_8N1        0x03
#define LCR_DLAB       0x80
#define MCR_DTR_RTS    0x03
#define MCR_OUT2       0x08 /* lets the interrupt out of the chip */
#define LSR_DATA_READY 0x01
#define LSR_THR_EMPTY  UART_LSR_THR_EMPTY

#define FIFO_BYTES 16

static size_t burst = 1; /* how many bytes the UART takes once THR is empty */
static int early = -1;   /* a byte that came before the FIFO was switched on */
static uint8_t interrupts; /* what IER asks for when there is no such byte */

void pv_console_start(void)
{
    out8(IER, 0);
    out8(LCR, LCR_DLAB);
    out8(DATA, 1); /* divisor 1: 115200 baud */
    out8(IER, 0);
    out8(LCR, LCR_8N1);
    early = pv_getc(); /* switching the FIFO on clears it */
    out8(FCR, FCR_ENABLE);
    out8(MCR, MCR_DTR_RTS);
    if ((in8(IIR) & IIR_FIFO) == IIR_FIFO)
        burst = FIFO_BYTES;
}

long pv_write(const void *buf, size_t size)
{
    const uint8_t *bytes = buf;
    for (size_t i = 0; i < size; i++) {
        if (i % burst == 0) {
            while (!(in8(LSR) & LSR_THR_EMPTY))
                __asm__ volatile("pause");
        }
        out8(DATA, bytes[i]);
    }
    return (long)size;
}

int pv_getc(void)
{
    if (early >= 0) {
        int byte = early;
        early = -1;
        out8(IER, interrupts);
        return byte;
    }
    return in8(LSR) & LSR_DATA_READY ? in8(DATA) : -1;
}

/* Of the early byte the UART knows nothing any more: the empty transmitter asks in its place. */
void pv_uart_ask(bool is_wanted)
{
    interrupts = is_wanted ? IER_DATA_READY : 0;
    out8(IER, 0);
    out8(MCR, MCR_DTR_RTS | MCR_OUT2);
    out8(IER, is_wanted && early >= 0 ? interrupts | IER_THR_EMPTY : interrupts);
}
