/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accesses to devices' memory, in a 32-bit kernel without paging. At DEVICE the host has memory that adds 1 to
 * each byte that is read; elsewhere above RAM nobody answers.
 */
#include "pc.h"

#define DEVICE 0xfd000000u
#define AT(type, offset) (*(volatile type *)(DEVICE + (offset)))

static uint32_t buffer[4];

int main(void)
{
    AT(uint32_t, 0) = 0x11223344;
    show("4 bytes", AT(uint32_t, 0));
    show("2 bytes", AT(uint16_t, 2));
    show("1 byte", AT(uint8_t, 1));
    AT(uint16_t, 0) = 0x5566;
    AT(uint8_t, 3) = 0x77;
    show("after stores of 2 and 1", AT(uint32_t, 0));
    AT(uint32_t, 0) += 0x01010101;
    show("read, changed, written", AT(uint32_t, 0));
    word from = DEVICE, to = (word)buffer, n = 2;
    __asm__ volatile("rep movsl" : "+S"(from), "+D"(to), "+c"(n) : : "memory");
    show("copied", buffer[0]);
    to = DEVICE + 8, n = 3;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(9) : "memory");
    show("filled", AT(uint32_t, 8));
    AT(uint32_t, 4) = 0x42;
    __asm__ volatile("fildll %0; fistpll %1" : : "m"(AT(uint64_t, 0)), "m"(buffer) : "memory");
    show("low half of 8 bytes", buffer[0]);
    show("high half", buffer[1]);
    show("nobody", *(volatile uint32_t *)0xe0000000u);
    *(volatile uint32_t *)0xe0000000u = 1;
    TRY("code that nobody has", "mov $0xe0000000, %%eax; jmp *%%eax", "b"(0));
    show("at", trap.ip);
    return 0;
}
