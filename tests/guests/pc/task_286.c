/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A 16-bit TSS: CALL to its task, and back by IRET. */
#include "user.h"

enum { OLD_CODE = 0x160, OLD_STACK = 0x168, OLD_TASK = 0x188, NT = 0x4000 };

static volatile struct old_task {
    uint16_t link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags, registers[8], segments[4], table;
} __attribute__((packed)) old_task;
static uint8_t old_stack[512] __attribute__((aligned(16)));
volatile word inside_flags, inside_sp, inside_cs, inside_ss, inside_bx, inside_gs, inside_tr;
extern const uint8_t old_base[], old_begin[];

__asm__(".text\n"
        "old_base: nop\n"
        "old_begin: pushf; popl inside_flags; mov %esp, inside_sp; mov %ebx, inside_bx\n"
        "mov %cs, %eax; mov %eax, inside_cs; mov %ss, %eax; mov %eax, inside_ss; mov %gs, %eax; mov %eax, inside_gs\n"
        "str %eax; mov %eax, inside_tr; clts; iret\n"
        ".previous\n");

int main(void)
{
    user_set_up();
    set_segment(OLD_CODE, (word)old_base, 0xfff, 0x9a, 0x4);
    set_segment(OLD_STACK, (word)old_stack, 0xffff, 0x92, 0);
    set_segment(OLD_TASK, (word)&old_task, sizeof old_task - 1, 0x81, 0);
    old_task.flags = 2;
    old_task.ip = (uint16_t)(old_begin - old_base);
    old_task.registers[3] = 0xb0b0;
    old_task.registers[4] = sizeof old_stack;
    old_task.segments[0] = old_task.segments[3] = DATA;
    old_task.segments[1] = OLD_CODE;
    old_task.segments[2] = OLD_STACK;
    task_state.cr3 = read_cr3();
    TRY_ALL("CALL to a 16-bit TSS", "mov $0x10, %%eax; mov %%eax, %%gs; lcall $0x188, $0");
    show("  CS", inside_cs);
    show("  TR", inside_tr & 0xffff);
    show("  NT", inside_flags & NT);
    show("  BX", inside_bx & 0xffff);
    show("  SP", inside_sp & 0xffff);
    show("  SS", inside_ss);
    show("  GS", inside_gs & 0xffff);
    show("  back link", old_task.link);
    show("  CS saved", old_task.segments[1]);
    show("  SS saved", old_task.segments[2]);
    show("  SP saved", old_task.registers[4]);
    show("  IP saved is behind its IRET", old_task.ip > (uint16_t)(old_begin - old_base));
    set_segment(OLD_TASK, (word)&old_task, sizeof old_task - 2, 0x81, 0);
    TRY_ALL("too small", "lcall $0x188, $0");
    return 0;
}
