/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where every trap and interrupt arrives. */
#include "kernel.h"

enum { TRAP_BREAKPOINT = 3, TRAP_PAGE = 14, N_EXCEPTIONS = 32 };

extern u8 probe_write_at[], probe_write_failed[];
volatile u32 ticks;
struct spinlock ticks_lock = {0, "ticks"};

static void interrupt(u32 irq)
{
	if (interrupt_is_spurious(irq))
		return;
	switch (irq) {
	case IRQ_TIMER:
		acquire(&ticks_lock);
		ticks++;
		wake_up((void *)&ticks);
		release(&ticks_lock);
		break;
	case IRQ_KEYBOARD:
		keyboard_interrupt();
		break;
	case IRQ_SERIAL:
		console_interrupt();
		break;
	case IRQ_DISK:
		disk_interrupt();
		break;
	default:
		print("interrupt %d: nobody's\n", irq);
	}
	interrupt_end(irq);
}

static void exception(struct trap_frame *frame, bool from_user)
{
	u32 address = cr2();
	if (frame->vector == TRAP_PAGE) {
		if (frame->eflags & FLAG_IF)
			sti();
		if (current() && page_fault(address, frame->error))
			return;
		if (frame->eip == (u32)probe_write_at) {
			frame->eip = (u32)probe_write_failed;
			return;
		}
	}
	if (!from_user) {
		print("vector %d, error 0x%x at 0x%x, address 0x%x\n", frame->vector, frame->error, frame->eip, address);
		panic("trap in the kernel");
	}
	if (frame->vector == TRAP_PAGE)
		print("[%d %s] page fault, error 0x%x, in page 0x%x\n", current()->pid, current()->name, frame->error,
		      address & -PAGE);
	else
		print("[%d %s] vector %d, error 0x%x\n", current()->pid, current()->name, frame->vector, frame->error);
	if (frame->vector != TRAP_BREAKPOINT)
		current()->killed = true;
}

void trap(struct trap_frame *frame)
{
	bool from_user = frame->cs & 3;
	if (frame->vector == TRAP_SYSCALL) {
		current()->frame = frame;
		if (!current()->killed)
			system_call(frame);
	} else if (frame->vector < N_EXCEPTIONS) {
		exception(frame, from_user);
	} else if (frame->vector < IRQ_BASE + 16) {
		interrupt(frame->vector - IRQ_BASE);
	} else {
		panic("stray vector");
	}
	if (!current())
		return;
	if (current()->killed && from_user)
		exit(-1);
	if (current()->state == RUNNING && frame->vector == IRQ_BASE + IRQ_TIMER)
		yield();
	if (current()->killed && from_user)
		exit(-1);
}
