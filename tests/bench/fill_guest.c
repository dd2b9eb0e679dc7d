/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Touches as many pages as the command line says, each for the first time. */
#include <stdint.h>

#include <pv/start.h>

#include "../guests/arguments.h"

#define FIRST 0x1000000ul /* far above the image */

int main(void)
{
    unsigned long n = argument(0, 1000);
    if (FIRST + n * 4096 > pv_memory_bytes())
        return 1;
    for (unsigned long i = 0; i < n; i++)
        *(volatile uint8_t *)(FIRST + i * 4096);
    return 0;
}
