/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupts from outside: the host raises vector V when the guest writes V to I/O port 0x500. */
#include "pc.h"

#define REQUEST "mov $0x21, %%eax; mov $0x500, %%edx; outb %%al, %%dx; "
#define CLOBBERS "eax", "edx", "memory", "cc"

#ifdef __x86_64__
enum { TSS = 0x30 };
static uint8_t spare_stack[4096] __attribute__((aligned(16)));
static struct {
    uint32_t reserved;
    uint64_t rsp[3], reserved2, ist[7], reserved3;
    uint16_t reserved4, io_map;
} __attribute__((packed)) task_state;
#endif

extern const char after_sti[], after_ss[], after_hlt[];

int main(void)
{
    __asm__ volatile("cli; " REQUEST "jmp 1f; 1: nop" : : : CLOBBERS);
    show("while IF is clear", n_interrupts);
    __asm__ volatile("sti; .globl after_sti; after_sti: nop; jmp 1f; 1: nop; jmp 1f; 1: cli" : : : CLOBBERS);
    show("after STI", n_interrupts);
    show("not right after it", interrupt_ip != (word)after_sti);
    show("IF in the handler", interrupt_flags & 0x200);

    __asm__ volatile("cli; " REQUEST "sti; cli; jmp 1f; 1: nop" : : : CLOBBERS);
    show("STI and CLI let none through", n_interrupts);
    __asm__ volatile("sti; nop; jmp 1f; 1: nop; jmp 1f; 1: cli" : : : CLOBBERS);
    show("but STI does", n_interrupts);

    set_gate(0x21, ENTRY(0x21), CODE, 0x8f, 0);
    __asm__ volatile("sti; nop; " REQUEST "jmp 1f; 1: nop; jmp 1f; 1: cli" : : : CLOBBERS);
    show("through a trap gate", n_interrupts);
    show("IF in the handler", interrupt_flags & 0x200);
    set_gate(0x21, ENTRY(0x21), CODE, 0x8e, 0);

    __asm__ volatile("sti; nop; mov %%ss, %%ecx; " REQUEST
                     "mov %%ecx, %%ss; .globl after_ss; after_ss: mov %%" SP ", %%" SP "; jmp 1f; 1: nop; jmp 1f; 1: cli"
                     : : : "ecx", CLOBBERS);
    show("around MOV SS", n_interrupts);
    show("not right after it", interrupt_ip != (word)after_ss);

    __asm__ volatile("cli; " REQUEST "jmp 1f; 1: sti; hlt; .globl after_hlt; after_hlt: cli" : : : CLOBBERS);
    show("STI and HLT wake up", n_interrupts);
    show("behind HLT", interrupt_ip == (word)after_hlt);

    set_gate(0x21, ENTRY(0x21), CODE, 0x0e, 0);
    TRY("an interrupt whose gate is not there", "cli; " REQUEST "sti; nop; jmp 7f; 7: nop; jmp 7f; 7: cli", "c"(0));
    set_gate(0x21, ENTRY(0x21), 0x208, 0x8e, 0);
    TRY("one into a segment that is not there", "cli; " REQUEST "sti; nop; jmp 7f; 7: nop; jmp 7f; 7: cli", "c"(0));
    set_gate(0x21, ENTRY(0x21), CODE, 0x8e, 0);
#ifdef __x86_64__
    task_state.ist[0] = (word)spare_stack + sizeof spare_stack;
    set_segment(TSS, (uint32_t)(word)&task_state, sizeof task_state - 1, 0x89, 0);
    gdt[TSS / 8 + 1] = (word)&task_state >> 32;
    __asm__ volatile("ltr %w0" : : "r"(TSS));
    set_gate(14, ENTRY(14), CODE, 0x8e, 1);
    TRY("one with no stack", "cli; " REQUEST "mov $0x40001000, %%esp; sti; nop; jmp 7f; 7: nop; jmp 7f; 7: cli");
#endif
    __asm__ volatile("cli");
    show("all", n_interrupts);
    return 0;
}
