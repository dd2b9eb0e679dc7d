/* SPDX-License-Identifier: MIT */
/* The console's hardware. */
#ifndef PV_SRC_UART_H
#define PV_SRC_UART_H

#include <stdbool.h>

#define UART               0x3f8 /* COM1: the byte to send, or that was received */
#define UART_LSR           (UART + 5)
#define UART_LSR_THR_EMPTY 0x20

/* Make the console ready. Program the UART: 115200 baud, 8N1, FIFO on, no interrupts. Before the first pv_write. */
void pv_console_start(void);

/*
 * Let the UART ask for an interrupt when there is input, or not any more. Where it asks already it does so anew, so that
 * the interrupt controller sees an edge.
 */
void pv_uart_ask(bool is_wanted);

#endif /* PV_SRC_UART_H */
