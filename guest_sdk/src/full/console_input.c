/* SPDX-License-Identifier: MIT */
/* Being told of input: the UART's interrupt. It is up as long as there is input, but only its rise is heard. */
#include <stddef.h>

#include <pv/console.h>

#include "uart.h"

int pv_console_on_input(pv_interrupt_handler *handler, void *context)
{
    int error = pv_interrupt_set(PV_SOURCE_CONSOLE, handler, context);
    pv_uart_ask(handler != NULL);
    return error;
}
