/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The UART in C: status reads and bytes on their way out. Only what leaves the interrupt line and the
 * receiver alone is served; full/console.py, the reference, does everything.
 */
#include "cpu/shim/shim.h"
#include "console_state.h"

enum { COM1 = 0x3f8, N_IOPORTS = 8 };
enum { DATA, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };
enum { LCR_DLAB = 0x80, MCR_LOOPBACK = 0x10, LSR_OVERRUN = 0x02, MSR_DELTAS = 0x0f };
enum { IER_RECEIVED = 0x01, IER_THR_EMPTY = 0x02, IIR_ID = 0x0f, IIR_THR_EMPTY = 0x02 };

static bool uart_read(struct engine *e)
{
    const pv_uart *uart = e->v.device[PV_DEVICE_CONSOLE];
    pv_exit *x = &e->v.exit;
    if (unlikely(!uart || x->size_bytes != 1))
        return false;
    switch (x->ioport - COM1) {
    case LSR:
        if (x->virtual_ns >= uart->look_ns || uart->lsr & LSR_OVERRUN)
            return false;
        x->value = uart->lsr;
        return true;
    case IIR_FCR:
        if ((uart->ier & IER_RECEIVED && x->virtual_ns >= uart->look_ns) || (uart->iir & IIR_ID) == IIR_THR_EMPTY)
            return false; /* reading it takes this cause away */
        x->value = uart->iir;
        return true;
    case MSR:
        if (uart->msr & MSR_DELTAS)
            return false;
        x->value = uart->msr;
        return true;
    case IER:
        if (uart->lcr & LCR_DLAB)
            return false;
        x->value = uart->ier;
        return true;
    case LCR: x->value = uart->lcr; return true;
    case MCR: x->value = uart->mcr; return true;
    case SCR: x->value = uart->scr; return true;
    default: return false;
    }
}

/* The first byte is Python's, who sets the deadline, and so is the one that finds the buffer full. */
static bool gather(pv_uart *uart, uint8_t byte)
{
    if (uart->lcr & LCR_DLAB || uart->mcr & MCR_LOOPBACK || uart->ier & IER_THR_EMPTY)
        return false;
    if (!uart->n_out || uart->n_out >= sizeof uart->out)
        return false;
    uart->out[uart->n_out++] = byte;
    if (byte == '\n')
        uart->newline_host_ns = host_ns();
    return true;
}

static bool uart_write(struct engine *e)
{
    pv_uart *uart = e->v.device[PV_DEVICE_CONSOLE];
    const pv_exit *x = &e->v.exit;
    if (unlikely(!uart || x->size_bytes != 1))
        return false;
    switch (x->ioport - COM1) {
    case DATA: return gather(uart, (uint8_t)x->value);
    case LCR: uart->lcr = (uint8_t)x->value; return true;
    case SCR: uart->scr = (uint8_t)x->value; return true;
    default: return false;
    }
}

const struct native full_console_natives[] = {
    {"uart_read", PV_EXIT_IO_IN, COM1, N_IOPORTS, uart_read},
    {"uart_write", PV_EXIT_IO_OUT, COM1, N_IOPORTS, uart_write},
};
const uint32_t n_full_console_natives = sizeof full_console_natives / sizeof full_console_natives[0];
