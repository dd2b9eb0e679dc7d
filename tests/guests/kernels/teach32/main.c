/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the boot loader to the first process, and what the kernel finds out about the machine on its way. */
#include "kernel.h"

extern int probe_write(volatile u32 *address);

static void check_machine(void)
{
	volatile u16 *screen = (u16 *)(KERNEL_BASE + 0xB8000);
	extern u8 kernel_text_end[];
	print("screen: 0x%x 0x%x\n", screen[0], screen[1]);
	outb(0x3D4, 15);
	u8 low_byte = inb(0x3D5);
	outb(0x3D4, 14);
	print("cursor: %d\n", inb(0x3D5) << 8 | low_byte);
	print("memory: %d frames from 1 MiB on, most are free: %d\n", frames_all(), frames_free() * 8 > frames_all() * 7);
	u32 *page = page_new();
	page_release(page);
	print("a free page is poisoned: 0x%x\n", page[1]);
	print("write to the kernel's text: %s\n", probe_write((u32 *)(KERNEL_BASE + 0x100000)) ? "a fault" : "no fault");
	print("behind the text: %s\n", probe_write((u32 *)kernel_text_end) ? "a fault" : "no fault");
	print("disk: %d sectors\n", disk_sectors);
	u32 from = ticks;
	while (ticks - from < 3)
		sti_hlt();
	print("the timer ticks\n");
	while (!keyboard_echoes)
		sti_hlt();
	print("keyboard: %d echo by interrupt\n", keyboard_echoes);
}

void kmain(u32 multiboot)
{
	descriptors_init();
	console_init();
	print("teach32\n");
	frames_init(multiboot);
	interrupts_init();
	unmask(IRQ_SERIAL);
	disk_init();
	keyboard_init();
	check_machine();
	first_process();
	scheduler();
}
