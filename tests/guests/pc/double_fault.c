/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two exceptions at once: which pairs make a double fault, and the stacks of the interrupt stack table. */
#include "pc.h"

enum { TSS = 0x30, P = 1, W = 2 };
extern uint64_t table3[512];
static uint64_t directory[512] __attribute__((aligned(4096))), table[512] __attribute__((aligned(4096)));
static uint8_t stack[2][4096] __attribute__((aligned(4096)));
static struct {
    uint32_t reserved;
    uint64_t rsp[3], reserved2, ist[7], reserved3;
    uint16_t reserved4, io_map;
} __attribute__((packed)) task_state;

static word stack_of_handler(void)
{
    return trap.sp;
}

int main(void)
{
    task_state.ist[0] = (word)stack[0] + 4096;
    task_state.ist[1] = (word)stack[1] + 4088;
    set_segment(TSS, (uint32_t)(word)&task_state, sizeof task_state - 1, 0x89, 0);
    gdt[TSS / 8 + 1] = (word)&task_state >> 32;
    __asm__ volatile("ltr %w0" : : "r"(TSS));
    table3[1] = (word)directory | P | W;
    directory[0] = (word)table | P | W;

    set_gate(8, ENTRY(8), CODE, 0x8e, 1);
    set_gate(6, ENTRY(6), CODE, 0x8e, 2);
    TRY("#UD on a stack of its own", "ud2");
    show("the stack was another", stack_of_handler() - (word)stack > sizeof stack);
    set_gate(6, ENTRY(6), CODE, 0x8e, 0);
    TRY("#UD on a stack that is not there", "mov $0x40001000, %%esp; ud2");
    show("it was", trap.sp);
    TRY("#PF on a stack that is not there", "mov $0x40001000, %%esp; push %%rax");
    show("it was", trap.sp);
    set_gate(6, ENTRY(6), CODE, 0x0e, 0);
    TRY("#UD with no gate", "ud2");
    set_gate(6, ENTRY(6), 0x208, 0x8e, 0);
    TRY("#UD into a segment that is not there", "ud2");
    set_gate(0x21, ENTRY(0x21), 0x208, 0x8e, 0);
    TRY("INT into a segment that is not there", "int $0x21");
    set_gate(13, ENTRY(13), CODE, 0x0e, 0);
    TRY("#GP with no gate", "mov $0x208, %%eax; mov %%eax, %%ds");
    set_gate(14, ENTRY(14), CODE, 0x0e, 0);
    TRY("#PF with no gate", "mov 0x40000000, %%al");
    set_gate(13, ENTRY(13), CODE, 0x8e, 1);
    set_gate(14, ENTRY(14), 0x208, 0x8e, 1);
    TRY("#PF into a segment that is not there", "mov 0x40000000, %%al");
    set_gate(14, ENTRY(14), CODE, 0x8e, 1);
    TRY("#PF on a stack of its own", "mov $0x40001000, %%esp; push %%rax");
    show("the stack was", trap.sp);
    set_gate(6, ENTRY(6), CODE, 0x8e, 0);
    TRY("#UD on a stack that is not there, and #PF on its own", "mov $0x40001000, %%esp; ud2");
    table[1] = (word)stack[0] | P | W;
    TRY("#UD on a stack of which the rest is not there", "mov $0x40001010, %%esp; ud2");
    return 0;
}
