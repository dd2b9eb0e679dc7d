/* SPDX-License-Identifier: MIT */
/* The console's hardware. */
#ifndef PV_SRC_UART_H
#define PV_SRC_UART_H

/* Make the console ready. Program the UART: 115200 baud, 8N1, FIFO on, no interrupts. Before the first pv_write. */
void pv_console_start(void);

#endif /* PV_SRC_UART_H */
