/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads a thousand pages over and over. Before each round CR3 is loaded with the next of more address spaces than have a
 * shadow at a time, so that each read has to fill its entry.
 */
#include <stdint.h>

#include <pv/memory.h>
#include <pv/start.h>

#include "../guests/arguments.h"

#define FIRST 0x1000000ul /* far above the image */
#define N_PAGES 1000ul
#define N_SPACES 20ul

int main(void)
{
    static struct pv_space *spaces[N_SPACES];
    for (unsigned long i = 0; i < N_SPACES; i++)
        if (!(spaces[i] = pv_space_create()))
            return 1;
    for (unsigned long n = argument(0, 1000), round = 0; n; n = n > N_PAGES ? n - N_PAGES : 0, round++) {
        pv_space_switch(spaces[round % N_SPACES]);
        for (unsigned long i = 0; i < N_PAGES; i++)
            *(volatile uint8_t *)(FIRST + i * 4096);
    }
    return 0;
}
