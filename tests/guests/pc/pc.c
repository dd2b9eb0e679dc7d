/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The part of pc.h that is no macro. */
#include "pc.h"

volatile struct trap trap;
volatile word try_begin, try_resume, try_sp, n_interrupts, interrupt_ip, interrupt_flags;
struct table_register idt_register;
void (*volatile on_interrupt)(struct frame *);
static uint64_t idt[2 * 256] __attribute__((aligned(16)));

void print(const char *text)
{
    for (; *text; text++) {
        while (!(inb(0x3fd) & 0x20))
            ;
        outb(0x3f8, (uint8_t)*text);
    }
}

void print_hex(uint64_t value)
{
    print("0x");
    bool begun = false;
    for (int shift = 60; shift >= 0; shift -= 4) {
        unsigned digit = (unsigned)(value >> shift) & 15;
        begun = begun || digit || !shift;
        if (begun)
            print((char[]){"0123456789abcdef"[digit], 0});
    }
}

void show(const char *name, uint64_t value)
{
    print(name);
    print(": ");
    print_hex(value);
    print("\n");
}

static void print_decimal(word value)
{
    if (value >= 10)
        print_decimal(value / 10);
    print((char[]){(char)('0' + value % 10), 0});
}

void report(const char *name)
{
    print(name);
    if (!trap.count) {
        print(": nothing\n");
        return;
    }
    print(": vector ");
    print_decimal(trap.vector);
    print(", error ");
    print_hex(trap.error);
    if (trap.vector == 14) {
        print(", address ");
        print_hex(trap.cr2);
    }
    if (trap.ip - try_begin < 4096) {
        print(", at +");
        print_decimal(trap.ip - try_begin);
    }
    if (trap.cs & 3)
        print(", in ring 3");
    print(trap.count > 1 ? ", and more\n" : "\n");
}

void quit(uint8_t status)
{
    outb(0xf4, status);
    for (;;)
        __asm__ volatile("hlt");
}

void back_to_kernel(struct frame *frame)
{
    frame->ip = try_resume;
    frame->cs = CODE;
    frame->flags = 2;
    if (sizeof(word) == 8) { /* a 32-bit IRET within a ring pops no stack: TRY does */
        frame->sp = try_sp;
        frame->ss = DATA;
    }
}

void on_exception(struct frame *frame);
void on_exception(struct frame *frame)
{
    bool from_ring_3 = frame->cs & 3;
    if (frame->vector >= 0x20 && on_interrupt) {
        on_interrupt(frame);
        return;
    }
    if (frame->vector == LEAVE && from_ring_3) {
        back_to_kernel(frame);
        return;
    }
    if (frame->vector >= 0x20) {
        n_interrupts++;
        interrupt_ip = frame->ip;
        __asm__ volatile("pushf; pop %0" : "=r"(interrupt_flags));
        return;
    }
    trap.count++;
    trap.vector = frame->vector;
    trap.error = frame->error;
    trap.cr2 = frame->vector == 14 ? read_cr2() : 0;
    trap.ip = frame->ip;
    trap.cs = frame->cs;
    trap.flags = frame->flags;
    bool has_stack = sizeof(word) == 8 || from_ring_3;
    trap.sp = has_stack ? frame->sp : 0;
    trap.ss = has_stack ? frame->ss & 0xffff : 0;
    if (!try_resume || trap.count > 8) {
        report("unexpected");
        show("at", frame->ip);
        quit(0x7f);
    }
    if (from_ring_3)
        back_to_kernel(frame);
    else
        frame->ip = try_resume;
}

void set_gate(unsigned vector, word target, uint16_t selector, uint8_t type_and_dpl, uint8_t ist)
{
    uint64_t gate = (target & 0xffff) | (uint64_t)selector << 16 | (uint64_t)ist << 32 |
                    (uint64_t)type_and_dpl << 40 | (uint64_t)(target >> 16 & 0xffff) << 48;
#ifdef __x86_64__
    idt[2 * vector] = gate;
    idt[2 * vector + 1] = target >> 32;
#else
    idt[vector] = gate;
#endif
}

void set_segment(uint16_t selector, uint32_t base, uint32_t limit, uint8_t access, uint8_t flags)
{
    gdt[selector >> 3] = (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 |
                         (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)(flags & 15) << 52 |
                         (uint64_t)(base >> 24) << 56;
}

void use_all_gates(void)
{
    for (unsigned i = 48; i < 256; i++)
        set_gate(i, ENTRY(i), CODE, 0x8e, 0);
    idt_register.limit = sizeof(word) * 2 * 256 - 1;
    __asm__ volatile("lidt idt_register");
}

void set_up(void);
void set_up(void)
{
    outb(0x21, 0xff); /* whatever the firmware left: no interrupt until a test asks for one */
    outb(0xa1, 0xff);
    for (unsigned i = 0; i < 48; i++)
        set_gate(i, ENTRY(i), CODE, 0x8e, 0);
    idt_register.limit = sizeof(word) * 2 * 48 - 1;
    idt_register.base = (word)idt;
    __asm__ volatile("lidt idt_register");
}
