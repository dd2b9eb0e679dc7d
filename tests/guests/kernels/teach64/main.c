/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's own part: set the machine up, try what ring 0 can try, start the first process. */
#include "kernel.h"

extern u8 kernel_start[], kernel_rodata[], kernel_data[];

static void read_at(u64 address) { (void)*(volatile u8 *)address; }
static void write_at(u64 address) { *(volatile u8 *)address = *(volatile u8 *)address; }
static void run_at(u64 address) { ((void (*)(void))address)(); }
static void load_segment(u64 selector) { asm volatile("mov %0, %%fs" ::"r"(selector)); }

static void try(const char *what, void (*how)(u64), u64 argument)
{
	u64 result = attempt(how, argument);
	if (result)
		print("%s: vector %u, error 0x%x\n", what, (u32)(result >> 32) & 0xFF, (u32)result);
	else
		print("%s: fine\n", what);
}

static void check_memory(void)
{
	u64 page = page_new();
	*(u64 *)direct(page) = 0x1122334455667788;
	page_drop(page);
	print("memory: %lu frames from 1 MiB on, most are free: %u\n", n_frames, n_free * 8 > n_frames * 7);
	try("read by the direct map", read_at, DIRECT + 0x200000);
	try("write by it to the kernel's text", write_at, (u64)kernel_start - KERNEL + DIRECT);
	try("run there", run_at, (u64)kernel_start - KERNEL + DIRECT);
	try("write to text", write_at, (u64)kernel_start);
	try("write to constants", write_at, (u64)kernel_rodata);
	try("run data", run_at, (u64)kernel_data);
	try("read at 0", read_at, 0);
	try("the boot mapping is gone", read_at, 0x100000);
	try("behind the direct map", read_at, DIRECT + (4ull << 30));
	try("read at a hole", read_at, 0xFFFFC00000000000);
	try("not canonical", read_at, 0x0000900000000000);
	try("segment beyond the GDT", load_segment, 0x80);
	u64 efer = rdmsr(MSR_EFER), sum = 0;
	print("EFER 0x%lx, CR0 0x%lx, CR4 0x%lx\n", efer, READ_CR(0), READ_CR(4));
	for (u64 at = (u64)kernel_start; at < (u64)kernel_data; at++)
		sum += *(volatile u8 *)at != *(volatile u8 *)(at - KERNEL + DIRECT);
	print("bytes that differ between the two views of the image: %lu\n", sum);
}

static void check_interrupts(const struct boot *boot)
{
	struct madt madt;
	memset(&madt, 0, sizeof madt);
	if (!madt_read(&madt, boot->rsdp))
		panic("no MADT");
	print("MADT: local APIC 0x%lx, I/O APIC 0x%lx, IRQ 0 at %u, IRQ 9's flags 0x%x\n", madt.local_apic, madt.io_apic,
	      madt.gsi[0], madt.flags[9]);
	apic_init(&madt);
	for (u64 from = ticks; ticks < from + 3;)
		wait_for_interrupt();
	print("the local APIC's timer ticks\n");
	pit_periodic();
	irq_enable(0, true);
	while (irq_counts[0] < 3)
		wait_for_interrupt();
	irq_enable(0, false);
	print("so does the 8254 by the I/O APIC\n");
	asm volatile("int3");
	print("a breakpoint in the kernel, on its own stack: %lu\n", n_breakpoints);
}

void kernel_main(u32 magic, u32 info)
{
	static struct boot boot;
	u8 address[6];
	console_init();
	descriptors_init();
	print("teach64\n");
	boot_read(&boot, magic, info);
	memory_init(&boot);
	paging_init();
	check_memory();
	check_interrupts(&boot);
	if (net_init(address))
		print("network: %x:%x:%x:%x:%x:%x\n", address[0], address[1], address[2], address[3], address[4], address[5]);
	process_start(boot.module, boot.module_end);
}
