/* SPDX-License-Identifier: MIT */
/* How console_ring.c takes over from console.c, in guests that use it. */
#ifndef PV_SRC_CONSOLE_H
#define PV_SRC_CONSOLE_H

#include <stddef.h>

#include <pv/interrupt.h>

/* In place of hypercalls, once it is set. */
struct pv_console_way {
    long (*write)(const void *buf, size_t size);
    int (*getc)(void);
    int (*on_input)(pv_interrupt_handler *handler, void *context);
};

extern const struct pv_console_way *pv_console_way;

#endif /* PV_SRC_CONSOLE_H */
