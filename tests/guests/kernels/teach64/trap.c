/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Exceptions and interrupts. */
#include "kernel.h"

enum { TRAP_BREAKPOINT = 3, TRAP_NO_FPU = 7, TRAP_DOUBLE = 8, TRAP_PAGE = 14, N_EXCEPTIONS = 32 };
enum { IRQ_NET = 9, IRQ_DISK = 14 };

extern u8 attempt_failed[];
extern void disk_interrupt(void);
u64 attempt_stack;
volatile u64 ticks, irq_counts[16], n_breakpoints, n_fpu_traps;

/* The FPU's content belongs to the thread that used it last. */
static void fpu_take(void)
{
	struct cpu *cpu = this_cpu();
	n_fpu_traps++;
	asm volatile("clts");
	if (cpu->fpu_owner == cpu->thread)
		return;
	if (cpu->fpu_owner)
		asm volatile("fxsave64 %0" : "=m"(cpu->fpu_owner->fpu_state));
	asm volatile("fxrstor64 %0" ::"m"(cpu->thread->fpu_state));
	cpu->fpu_owner = cpu->thread;
}

static void exception(struct frame *frame)
{
	u64 address = frame->vector == TRAP_PAGE ? READ_CR(2) : 0;
	if (frame->vector == TRAP_BREAKPOINT && !(frame->cs & 3)) {
		n_breakpoints += is_on_ist(1, (u64)frame);
		return;
	}
	if (frame->vector == TRAP_DOUBLE) {
		print("double fault: error 0x%lx, on its own stack: %u\n", frame->error, is_on_ist(2, (u64)frame));
		power_off(0x10);
	}
	if (frame->vector == TRAP_NO_FPU && thread()) {
		fpu_take();
		return;
	}
	if (frame->vector == TRAP_PAGE && address < USER_END && page_fault(address, frame->error))
		return;
	if (!(frame->cs & 3)) {
		if (attempt_stack) {
			frame->rip = (u64)attempt_failed;
			frame->rsp = attempt_stack;
			frame->rax = frame->vector << 32 | frame->error | 1ull << 63;
			return;
		}
		print("vector %lu, error 0x%lx at 0x%lx, address 0x%lx\n", frame->vector, frame->error, frame->rip, address);
		panic("trap in the kernel");
	}
	if (upcall(frame, address))
		return;
	print("[%u] vector %lu, error 0x%lx, address 0x%lx: killed\n", thread()->process->pid, frame->vector,
	      frame->error, address);
	exit_process(-1);
}

static void interrupt(u64 vector)
{
	if (vector == VECTOR_SPURIOUS)
		return;
	if (vector == VECTOR_TIMER) {
		ticks++;
		wake((void *)&ticks);
	} else {
		u32 irq = vector - VECTOR_IRQ;
		irq_counts[irq]++;
		if (irq == IRQ_DISK)
			disk_interrupt();
		if (irq == IRQ_NET)
			net_interrupt();
	}
	apic_end();
}

void trap(struct frame *frame)
{
	if (frame->vector < N_EXCEPTIONS)
		exception(frame);
	else
		interrupt(frame->vector);
	if (frame->vector == VECTOR_TIMER && frame->cs & 3)
		schedule();
}
