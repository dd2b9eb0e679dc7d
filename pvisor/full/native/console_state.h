/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 16550A UART as both tiers see it: full/console.py keeps it, console.c serves what needs nothing else. */
#ifndef PV_CONSOLE_STATE_H
#define PV_CONSOLE_STATE_H
#include <stdint.h>

typedef struct pv_uart {
    uint8_t ier, lcr, mcr, scr;  /* as the guest wrote them */
    uint8_t iir, lsr, msr;       /* as the guest reads them now, but for bytes that look_ns announces */
    uint8_t fifos_on;
    uint8_t received_cause;      /* of IIR, for what has been received, were its interrupt enabled; 1: none */
    uint8_t thr_empty_pending;   /* the interrupt "THR is empty" has not been taken away by a read of IIR */
    uint8_t reserved[3];
    uint32_t deadline;           /* the number of the own deadline by which `out` is written */
    uint32_t n_out;              /* bytes gathered in `out`; while there are some, a deadline stands that writes them */
    uint64_t look_ns;            /* virtual time from which the receiver is to be looked at before it is shown */
    uint64_t newline_host_ns;    /* host time of the last '\n' that was gathered: that of the last byte, mostly */
    uint8_t out[4096];
} pv_uart;
#endif
