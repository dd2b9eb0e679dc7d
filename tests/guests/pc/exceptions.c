/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Exceptions and INT n: vector, error code, CR2, and where IRET goes on. */
#include "pc.h"

#ifdef __x86_64__
#define W "q"
#else
#define W "l"
#endif

int main(void)
{
    TRY("divide", "xor %%eax, %%eax; cltd; div %%eax");
    TRY("ud2", "nop; ud2");
    TRY("int3", "int3");
    TRY("int 3 in two bytes", ".byte 0xcd, 3");
#ifdef __x86_64__
    TRY("read of nothing", "mov 0x40000000, %%al");
    TRY("write to nothing", "movb $1, 0x40000001");
    TRY("jump to nothing", "mov $0x40000000, %%eax; jmp *%%rax");
    TRY("read of an address that is not canonical", "mov $1, %%eax; shl $47, %%rax; mov (%%rax), %%eax");
#endif
    TRY("a selector beyond the table", "mov $0x208, %%eax; mov %%eax, %%ds");
    word before = n_interrupts;
    __asm__ volatile("int $0x20; int $0x2f");
    show("int 0x20 and 0x2f", n_interrupts - before);
    set_gate(0x21, ENTRY(0x21), CODE, 0x0e, 0);
    TRY("int through a gate that is not present", "int $0x21");
    set_gate(0x21, ENTRY(0x21), CODE, 0x80, 0);
    TRY("int through a gate of no such type", "int $0x21");
    set_gate(0x21, ENTRY(0x21), 0x200 - 8, 0x8e, 0);
    TRY("int to an empty descriptor", "int $0x21");
    TRY("int beyond the table", "int $0x60");
    word flags;
    __asm__ volatile("sti; nop; push" W " $0x246; popf" W "; nop" : : : "memory", "cc");
    trap.count = 0;
    TRY("ud2 with IF set", "sti; nop; ud2");
    show("flags in the frame", trap.flags & 0x200);
    __asm__ volatile("pushf" W "; pop" W " %0" : "=r"(flags));
    show("flags after the return", flags & 0x200);
    __asm__ volatile("cli; pushf" W "; pop" W " %0" : "=r"(flags));
    show("flags after CLI", flags & 0x200);
    return 0;
}
