/* SPDX-License-Identifier: MIT */
/* Being told of input: an event, of the virtual IRQ or of the ring. */
#include <stdbool.h>

#include <pv/console.h>
#include <pv/error.h>
#include <pv/hypercall.h>

#include "console.h"
#include "interrupt.h"

int pv_console_on_input(pv_interrupt_handler *handler, void *context)
{
    static bool is_bound;
    if (pv_console_way != NULL)
        return pv_console_way->on_input(handler, context);
    if (!is_bound) {
        int64_t port = pv_event_bind_virq(PV_VIRQ_CONSOLE, 0);
        if (port < 0)
            return -PV_ENODEV;
        pv_interrupt_adopt(PV_SOURCE_CONSOLE, (uint32_t)port);
        is_bound = true;
    }
    return pv_interrupt_set(PV_SOURCE_CONSOLE, handler, context);
}
