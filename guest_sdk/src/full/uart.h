/* SPDX-License-Identifier: MIT */
/* The console's hardware. */
#ifndef PV_SRC_UART_H
#define PV_SRC_UART_H

/* Program the UART: 115200 baud, 8N1, FIFO on, no interrupts. Before the first pv_write. */
void pv_uart_start(void);

#endif /* PV_SRC_UART_H */
