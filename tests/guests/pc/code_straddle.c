/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An instruction that lies across two pages and stores into the second of them. */
#include "pc.h"

static uint8_t page[2 * 4096] __attribute__((aligned(4096)));
typedef void function(void);

int main(void)
{
    /* movl $0x1234, page + 4096 + 64; ret */
    uint8_t *at = page + 4096 - 4;
#ifdef __x86_64__
    static const uint8_t code[] = {0xc7, 0x04, 0x25, 0, 0, 0, 0, 0x34, 0x12, 0, 0, 0xc3};
    enum { ADDRESS = 3 };
#else
    static const uint8_t code[] = {0xc7, 0x05, 0, 0, 0, 0, 0x34, 0x12, 0, 0, 0xc3};
    enum { ADDRESS = 2 };
#endif
    for (unsigned i = 0; i < sizeof code; i++)
        ((volatile uint8_t *)at)[i] = code[i];
    *(volatile uint32_t *)(at + ADDRESS) = (uint32_t)(word)page + 4096 + 64;
    ((function *)at)();
    show("stored", *(volatile uint32_t *)(page + 4096 + 64));
    return 0;
}
