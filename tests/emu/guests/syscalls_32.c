/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The same in 32-bit mode: a ring change through the TSS, SYSENTER, and SYSCALL as AMD has it. */
#include "pc.h"

enum { USER_CODE = 0x18, USER_DATA = 0x20, TSS = 0x30 };

static struct { uint32_t link, esp0, ss0, rest[22], io_map; } the_tss;
static uint8_t kernel_stack[4096] __attribute__((aligned(16)));
uint8_t ring3_stack[4096] __attribute__((aligned(16)));
word kernel_sp, kernel_ip, seen[4], came_by[2];

/* Runs INSNS at CPL 3; INT 0x21 comes back. */
#define AS_USER(name, insns)                                                                          \
    do {                                                                                              \
        trap.count = 0;                                                                               \
        __asm__ volatile("mov %%esp, kernel_sp; movl $9f, kernel_ip; movl $8f, try_begin\n"             \
                         "movl $7f, try_resume; mov %%esp, try_sp\n"                                   \
                         "push $0x23; push $ring3_stack + 4096; push $2; push $0x1b; push $8f; iret\n"  \
                         "8: " insns "\n 7: int $0x21\n 9: mov $0x10, %%eax; mov %%eax, %%ds; mov %%eax, %%es" \
                         : : : "eax", "ecx", "edx", "memory", "cc");                                  \
        report(name);                                                                                 \
    } while (0)

__asm__("back: mov %esp, came_by; mov %ss, came_by+4; mov kernel_sp, %esp; jmp *kernel_ip\n"
        "sysenter_entry: mov %esp, seen; pushf; pop seen+4; mov %cs, seen+8; mov %ss, seen+12; sysexit\n"
        "syscall_entry: mov %ecx, seen; pushf; pop seen+4; mov %cs, seen+8; mov %ss, seen+12; sysret\n");
extern const char back[], sysenter_entry[], syscall_entry[];

static void show_entry(void)
{
    show("RFLAGS", seen[1] & 0x202);
    show("CS", seen[2]);
    show("SS", seen[3]);
}

int main(void)
{
    set_segment(USER_CODE, 0, 0xfffff, 0xfb, 0xc);
    set_segment(USER_DATA, 0, 0xfffff, 0xf3, 0xc);
    the_tss.esp0 = (word)kernel_stack + sizeof kernel_stack;
    the_tss.ss0 = DATA;
    the_tss.io_map = 0x680000;
    set_segment(TSS, (word)&the_tss, 0x67, 0x89, 0);
    __asm__ volatile("ltr %w0" : : "r"(TSS));
    set_gate(0x21, (word)back, CODE, 0xee, 0);

    AS_USER("user code", "nop");
    show("its way back took", the_tss.esp0 - came_by[0]);
    show("on SS", came_by[1]);
    AS_USER("CLI", "cli");
    AS_USER("IN", "in $0x80, %%al");
    AS_USER("a segment of the kernel", "mov $0x10, %%eax; mov %%eax, %%ds");

    AS_USER("SYSENTER without a CS", "sysenter");
    wrmsr(0x174, CODE);
    wrmsr(0x175, the_tss.esp0);
    wrmsr(0x176, (word)sysenter_entry);
    AS_USER("SYSENTER", "mov %%esp, %%ecx; lea 6f, %%edx; sysenter; 6: nop");
    show("ESP", seen[0] == the_tss.esp0);
    show_entry();

    wrmsr(0xc0000080, 1);
    wrmsr(0xc0000081, 0x0013000800000000ull | (word)syscall_entry);
    AS_USER("SYSCALL", "stc; syscall; 6: nop");
    show("ECX is behind it", seen[0] - try_begin == 3);
    show_entry();
    return 0;
}
