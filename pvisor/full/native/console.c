/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The UART in C: status reads, bytes on their way out, and the interrupt "THR is empty" that brings the next one. Only
 * what leaves the receiver alone is served; full/console.py, the reference, does everything.
 */
#include "full/native/clocks.h"
#include "full/native/console_state.h"
#include "full/native/controllers.h"

enum { COM1 = 0x3f8, N_IOPORTS = 8 };
enum { DATA, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };
enum { LCR_DLAB = 0x80, MCR_LOOPBACK = 0x10, LSR_OVERRUN = 0x02, MSR_DELTAS = 0x0f };
enum { IER_RECEIVED = 0x01, IER_THR_EMPTY = 0x02, IER_LINE = 0x04, IER_MODEM = 0x08, IER_ALL = 0x0f };
enum { IIR_MODEM = 0x00, IIR_NONE = 0x01, IIR_THR_EMPTY = 0x02, IIR_LINE = 0x06, IIR_ID = 0x0f, IIR_FIFOS = 0xc0 };
enum { MCR_OUT2 = 0x08, UART_IRQ = 4, FLUSH_NS = 1000000 };

/* The most urgent cause, by the ranks of table 5. */
static uint8_t cause_of(const pv_uart *uart)
{
    uint8_t enabled = uart->ier;
    if (enabled & IER_LINE && uart->lsr & LSR_OVERRUN)
        return IIR_LINE;
    if (enabled & IER_RECEIVED && uart->received_cause != IIR_NONE)
        return uart->received_cause;
    if (enabled & IER_THR_EMPTY && uart->thr_empty_pending)
        return IIR_THR_EMPTY;
    return enabled & IER_MODEM && uart->msr & MSR_DELTAS ? IIR_MODEM : IIR_NONE;
}

static void update(pv_uart *uart, struct controllers *c)
{
    uint8_t cause = cause_of(uart);
    uart->iir = cause | (uart->fifos_on ? IIR_FIFOS : 0);
    set_isa_line(c, UART_IRQ, cause != IIR_NONE && uart->mcr & MCR_OUT2);
}

/* The receiver is to be looked at before its state is shown. */
static bool is_receiver_due(struct engine *e, const pv_uart *uart)
{
    return uart->ier & IER_RECEIVED && e->v.exit.virtual_ns >= uart->look_ns;
}

/* IER with another bit than before for "THR is empty", which it is: its interrupt comes, or is over. */
static bool write_enables(struct engine *e, pv_uart *uart, uint8_t value)
{
    struct controllers c;
    uint8_t ier = uart->ier, iir = uart->iir, pending = uart->thr_empty_pending;
    if (uart->lcr & LCR_DLAB || (value ^ ier) & ~IER_THR_EMPTY || is_receiver_due(e, uart) || !begin_change(e, &c))
        return false;
    if (value != ier)
        uart->thr_empty_pending = (value & IER_THR_EMPTY) != 0;
    uart->ier = value;
    update(uart, &c);
    if (end_change(e, &c))
        return true;
    uart->ier = ier;
    uart->iir = iir;
    uart->thr_empty_pending = pending;
    return false;
}

/* IIR; reading it takes the cause "THR is empty" away. */
static bool read_identification(struct engine *e, pv_uart *uart)
{
    struct controllers c;
    uint8_t iir = uart->iir;
    if (is_receiver_due(e, uart))
        return false;
    e->v.exit.value = iir;
    if ((iir & IIR_ID) != IIR_THR_EMPTY)
        return true;
    if (!begin_change(e, &c))
        return false;
    uart->thr_empty_pending = 0;
    update(uart, &c);
    if (end_change(e, &c))
        return true;
    uart->iir = iir;
    uart->thr_empty_pending = 1;
    return false;
}

/* THR is full for a moment: the line falls, and rises anew when the byte has left. */
static bool pulse(struct engine *e, pv_uart *uart)
{
    struct controllers c;
    uint8_t iir = uart->iir, pending = uart->thr_empty_pending;
    if (!begin_change(e, &c))
        return false;
    uart->thr_empty_pending = 0;
    update(uart, &c);
    uart->thr_empty_pending = 1;
    update(uart, &c);
    if (end_change(e, &c))
        return true;
    uart->iir = iir;
    uart->thr_empty_pending = pending;
    return false;
}

static bool uart_read(struct engine *e)
{
    pv_uart *uart = e->v.device[PV_DEVICE_CONSOLE];
    pv_exit *x = &e->v.exit;
    if (unlikely(!uart || x->size_bytes != 1))
        return false;
    switch (x->ioport - COM1) {
    case LSR:
        if (x->virtual_ns >= uart->look_ns || uart->lsr & LSR_OVERRUN)
            return false;
        x->value = uart->lsr;
        return true;
    case IIR_FCR: return read_identification(e, uart);
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

/* The byte that finds the buffer full is Python's. The first sets the deadline by which all are written. */
static bool gather(struct engine *e, pv_uart *uart, uint8_t byte)
{
    if (uart->lcr & LCR_DLAB || uart->mcr & MCR_LOOPBACK)
        return false;
    if (uart->n_out >= sizeof uart->out || (!uart->n_out && !deadlines_of(e)))
        return false;
    if (uart->ier & IER_THR_EMPTY && !pulse(e, uart))
        return false;
    if (!uart->n_out)
        set_own_deadline(e, uart->deadline, e->v.exit.virtual_ns + FLUSH_NS);
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
    case DATA: return gather(e, uart, (uint8_t)x->value);
    case IER: return write_enables(e, uart, x->value & IER_ALL);
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
