/* SPDX-License-Identifier: GPL-2.0-or-later */
/* GDT, TSS with interrupt stacks and the I/O permission map, IDT, and the CPU's own data behind GS. */
#include "kernel.h"

enum { N_PORTS = 65536, IST_BYTES = 4096, N_IST = 3 };

struct gate {
	u16 low, selector;
	u8 ist, type;
	u16 middle;
	u32 high, reserved;
};
struct table {
	u16 limit;
	u64 base;
} __attribute__((packed));
struct task_state {
	u32 reserved0;
	u64 rsp[3], reserved1, ist[7], reserved2;
	u16 reserved3, map_at;
	u8 map[N_PORTS / 8 + 1];
} __attribute__((packed));

extern u8 vectors[], boot_stack[];
extern void syscall_entry(void);
static struct cpu cpu;
static struct task_state task_state;
static u8 ist_stacks[N_IST][IST_BYTES] __attribute__((aligned(16)));
static struct gate idt[256];
static u64 gdt[7] = {
	0,
	0x00AF9A000000FFFF, /* kernel code */
	0x00CF92000000FFFF, /* kernel data */
	0x00CFF2000000FFFF, /* user data, then code: the order that SYSRET wants */
	0x00AFFA000000FFFF,
};

void descriptors_init(void)
{
	u64 base = (u64)&task_state, limit = sizeof task_state - 1;
	gdt[5] = (limit & 0xFFFF) | (base & 0xFFFFFF) << 16 | 0x89ull << 40 | (base >> 24 & 0xFF) << 56;
	gdt[6] = base >> 32;
	task_state.map_at = offsetof(struct task_state, map);
	memset(task_state.map, 0xFF, sizeof task_state.map);
	for (u32 i = 0; i < N_IST; i++)
		task_state.ist[i] = (u64)ist_stacks[i] + IST_BYTES;

	struct table table = {sizeof gdt - 1, (u64)gdt};
	asm volatile("lgdt %0" ::"m"(table));
	asm volatile("push %0; lea 1f(%%rip), %%rax; push %%rax; lretq; 1:" ::"i"(KERNEL_CODE) : "rax", "memory");
	asm volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%ss" ::"r"(KERNEL_DATA));
	asm volatile("mov %0, %%fs; mov %0, %%gs" ::"r"(0));
	asm volatile("ltr %w0" ::"r"(TASK_STATE));

	for (u32 i = 0; i < 256; i++) {
		u64 at = (u64)vectors + 16 * i;
		u8 ist = i == 3 ? 1 : i == 8 ? 2 : i == 2 ? 3 : 0;
		u8 type = i == 3 ? 0xEE : 0x8E;
		idt[i] = (struct gate){at & 0xFFFF, KERNEL_CODE, ist, type, at >> 16 & 0xFFFF, at >> 32, 0};
	}
	table = (struct table){sizeof idt - 1, (u64)idt};
	asm volatile("lidt %0" ::"m"(table));

	cpu.self = &cpu;
	wrmsr(MSR_GS_BASE, (u64)&cpu);
	wrmsr(MSR_KERNEL_GS_BASE, 0);
	wrmsr(MSR_STAR, (u64)(USER_DATA - 8) << 48 | (u64)KERNEL_CODE << 32);
	wrmsr(MSR_LSTAR, (u64)syscall_entry);
	wrmsr(MSR_FMASK, 0x47700); /* TF, IF, DF, IOPL, NT, AC */
	WRITE_CR(0, (READ_CR(0) & ~4ull) | 0x22); /* MP, NE; no EM */
	WRITE_CR(4, READ_CR(4) | 0x600);	  /* OSFXSR, OSXMMEXCPT */
	kernel_stack_set((u64)boot_stack);
}

void kernel_stack_set(u64 top)
{
	task_state.rsp[0] = top;
	this_cpu()->kernel_sp = top;
}

void port_allow(u16 port, bool on)
{
	u8 bit = 1 << port % 8;
	task_state.map[port / 8] = on ? task_state.map[port / 8] & ~bit : task_state.map[port / 8] | bit;
}

bool is_on_ist(u32 n, u64 sp) { return sp > (u64)ist_stacks[n - 1] && sp <= (u64)ist_stacks[n - 1] + IST_BYTES; }
