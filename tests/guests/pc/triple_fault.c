/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An exception with no table to go through. */
#include "pc.h"

int main(void)
{
    print("no way out\n");
    idt_register.limit = 0;
    __asm__ volatile("lidt idt_register; ud2");
    return 0;
}
