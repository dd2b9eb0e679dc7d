/* SPDX-License-Identifier: MIT */
/* The console by hypercall: a whole buffer at once, where its twin needs an OUT for each byte. */
#include <stdint.h>

#include <pv/console.h>
#include <pv/hypercall.h>

#include "console.h"

const struct pv_console_way *pv_console_way;

long pv_write(const void *buf, size_t size)
{
    const uint8_t *bytes = buf;
    size_t n_written = 0;
    if (pv_console_way != NULL)
        return pv_console_way->write(buf, size);
    while (n_written < size) { /* one call takes at most PV_CONSOLE_WRITE_MAX */
        int64_t result = pv_console_write(bytes + n_written, size - n_written);
        if (result <= 0)
            return n_written > 0 ? (long)n_written : result;
        n_written += (size_t)result;
    }
    return (long)n_written;
}

int pv_getc(void)
{
    uint8_t byte;
    if (pv_console_way != NULL)
        return pv_console_way->getc();
    return pv_console_read(&byte, 1) == 1 ? byte : -1;
}
