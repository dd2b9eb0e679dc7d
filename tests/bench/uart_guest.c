/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A byte to the UART and a look at its status, as often as the command line says; nobody waits for it to be ready. */
#include <stdint.h>

#include "../guests/arguments.h"

int main(void)
{
    for (unsigned long n = argument(0, 1000); n > 0; n--) {
        uint8_t status;
        __asm__ volatile("outb %0, %1" : : "a"((uint8_t)(n % 64 == 0 ? '\n' : '.')), "d"((uint16_t)0x3f8));
        __asm__ volatile("inb %1, %0" : "=a"(status) : "d"((uint16_t)0x3fd));
        if (status == 0xff)
            return 1;
    }
    return 0;
}
