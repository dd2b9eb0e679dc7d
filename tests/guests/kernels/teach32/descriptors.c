/* SPDX-License-Identifier: GPL-2.0-or-later */
/* GDT with one TSS and a segment for the CPU's own data, IDT, the 8259 pair, the 8254. */
#include "kernel.h"

struct task_state {
	u32 link, esp0, ss0, rest[22];
	u16 trap, io_map;
};
struct table {
	u16 limit;
	u32 base;
} __attribute__((packed));
struct gate {
	u16 low, selector;
	u8 zero, type;
	u16 high;
};

enum { PIC1 = 0x20, PIC2 = 0xA0, PIT = 0x40, PIT_HZ = 1193182 };

extern u8 vectors[];
static struct cpu the_cpu;
static struct task_state task_state;
static u64 gdt[7];
static struct gate idt[256];
static u16 irq_mask = 0xFFFB; /* all but the cascade */

static u64 segment(u32 base, u32 limit, u8 access, u8 flags)
{
	u32 low_half = (limit & 0xFFFF) | base << 16;
	u32 high_half = (base >> 16 & 0xFF) | access << 8 | (limit & 0xF0000) | (u32)flags << 20 | (base & 0xFF000000);
	return (u64)high_half << 32 | low_half;
}

void descriptors_init(void)
{
	gdt[SEG_KCODE / 8] = segment(0, 0xFFFFF, 0x9A, 0xC);
	gdt[SEG_KDATA / 8] = segment(0, 0xFFFFF, 0x92, 0xC);
	gdt[SEG_UCODE / 8] = segment(0, 0xFFFFF, 0xFA, 0xC);
	gdt[SEG_UDATA / 8] = segment(0, 0xFFFFF, 0xF2, 0xC);
	gdt[SEG_TSS / 8] = segment((u32)&task_state, sizeof task_state - 1, 0x89, 0);
	gdt[SEG_CPU / 8] = segment((u32)&the_cpu, sizeof the_cpu - 1, 0x92, 0x4);
	task_state.ss0 = SEG_KDATA;
	task_state.io_map = sizeof task_state; /* no I/O map */

	struct table table = {sizeof gdt - 1, (u32)gdt};
	asm volatile("lgdt %0; ljmp %1, $1f; 1:" ::"m"(table), "i"(SEG_KCODE));
	asm volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%ss" ::"r"(SEG_KDATA));
	asm volatile("mov %0, %%fs; mov %1, %%gs" ::"r"(0), "r"(SEG_CPU));
	asm volatile("lldt %w0; ltr %w1" ::"r"(0), "r"(SEG_TSS));
	the_cpu.self = &the_cpu;

	for (u32 i = 0; i < 256; i++) {
		u32 at = (u32)vectors + 16 * i;
		u8 type = i == TRAP_SYSCALL ? 0xEF : i == 3 ? 0xEE : 0x8E;
		idt[i] = (struct gate){at & 0xFFFF, SEG_KCODE, 0, type, at >> 16};
	}
	table = (struct table){sizeof idt - 1, (u32)idt};
	asm volatile("lidt %0" ::"m"(table));
}

void set_kernel_stack(u32 top) { task_state.esp0 = top; }

static void write_mask(void)
{
	outb(PIC1 + 1, irq_mask & 0xFF);
	outb(PIC2 + 1, irq_mask >> 8);
}

void interrupts_init(void)
{
	outb(PIC1, 0x11);
	outb(PIC2, 0x11);
	outb(PIC1 + 1, IRQ_BASE);
	outb(PIC2 + 1, IRQ_BASE + 8);
	outb(PIC1 + 1, 1 << 2);
	outb(PIC2 + 1, 2);
	outb(PIC1 + 1, 1);
	outb(PIC2 + 1, 1);
	write_mask();

	u32 divisor = (PIT_HZ + HZ / 2) / HZ;
	outb(PIT + 3, 0x34); /* channel 0, both bytes, rate generator */
	outb(PIT, divisor & 0xFF);
	outb(PIT, divisor >> 8);
	unmask(IRQ_TIMER);
}

void unmask(u32 irq)
{
	push_cli();
	irq_mask &= ~(1 << irq);
	write_mask();
	pop_cli();
}

bool interrupt_is_spurious(u32 irq)
{
	if (irq != 7 && irq != 15)
		return false;
	u16 pic = irq == 7 ? PIC1 : PIC2;
	outb(pic, 0x0B); /* read the in-service register */
	if (inb(pic) & 0x80)
		return false;
	if (irq == 15)
		outb(PIC1, 0x20);
	return true;
}

void interrupt_end(u32 irq)
{
	if (irq >= 8)
		outb(PIC2, 0x20);
	outb(PIC1, 0x20);
}
