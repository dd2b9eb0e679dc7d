/* SPDX-License-Identifier: GPL-2.0-or-later */
/* System calls, and upcalls: a process may see to its own faults. */
#include "numbers.h"

#include "kernel.h"

enum { TF = 0x100, IF = 0x200, DF = 0x400, IOPL = 0x3000, USER_MAY_SET = 0xDD5 };

/* The frame goes onto the user's stack, below the red zone; the handler gets it as its fourth argument. */
bool upcall(struct frame *frame, u64 address)
{
	u64 handler = thread()->process->fault_handler;
	u64 at = ((frame->rsp - 128 - sizeof *frame) & -16ull) - 8;
	if (!handler || !user_may(at, sizeof *frame + 8, true))
		return false;
	*(u64 *)at = 0;
	memcpy((void *)(at + 8), frame, sizeof *frame);
	frame->rdi = frame->vector;
	frame->rsi = frame->error;
	frame->rdx = address;
	frame->rcx = at + 8;
	frame->rip = handler;
	frame->rsp = at;
	frame->rflags &= ~(u64)(TF | DF);
	return true;
}

static void fault_return(struct frame *frame, u64 from)
{
	u64 flags = frame->rflags;
	if (!user_may(from, sizeof *frame, false))
		exit_process(-2);
	memcpy(frame, (void *)from, sizeof *frame);
	frame->cs = USER_CODE;
	frame->ss = USER_DATA;
	frame->rflags = (frame->rflags & USER_MAY_SET) | (flags & IOPL) | IF;
}

static int fork(const struct frame *frame)
{
	struct process *parent = thread()->process, *child = process_new(parent);
	if (!child)
		return -1;
	struct thread *t = space_fork(parent, child) ? thread_new(child, frame) : NULL;
	if (!t) {
		space_free(child);
		child->pid = 0;
		return -1;
	}
	((struct frame *)(t->stack_top - sizeof *frame))->rax = 0;
	if (this_cpu()->fpu_owner == thread())
		asm volatile("fxsave64 %0" : "=m"(thread()->fpu_state));
	memcpy(t->fpu_state, thread()->fpu_state, sizeof t->fpu_state);
	t->fs_base = thread()->fs_base;
	return child->pid;
}

static u64 map(u64 n, u32 access)
{
	struct process *process = thread()->process;
	u64 from = process->next_map, size = (n + PAGE - 1) & -PAGE;
	if (!n || n > 1ull << 32 || !region_add(process, from, from + size, access))
		return -1;
	process->next_map += size + PAGE;
	return from;
}

static u64 new_thread(const struct frame *frame)
{
	struct frame start = {.rip = frame->rdi, .rsp = frame->rsi, .rdi = frame->rdx, .cs = USER_CODE, .ss = USER_DATA,
			      .rflags = IF | 2};
	return thread_new(thread()->process, &start) ? 0 : -1;
}

static u64 ask(u64 what)
{
	switch (what) {
	case ASK_FREE:
		return n_free;
	case ASK_LAZY:
		return n_lazy;
	case ASK_COPIED:
		return n_copied;
	case ASK_FPU_TRAPS:
		return n_fpu_traps;
	case ASK_TICKS:
		return ticks;
	case ASK_DISK_INTERRUPTS:
		return irq_counts[14];
	}
	return -1;
}

static u64 dispatch(struct frame *frame, u64 a, u64 b, u64 c)
{
	struct process *process = thread()->process;
	int status = 0, pid;
	u64 until;
	switch (frame->rax) {
	case SYS_EXIT:
		exit_process(a);
	case SYS_THREAD_EXIT:
		exit_thread();
	case SYS_WRITE:
		if (!user_may(a, b, false))
			return -1;
		put_text((const char *)a, b);
		return b;
	case SYS_PID:
		return process->pid;
	case SYS_FORK:
		return fork(frame);
	case SYS_WAIT:
		if (!user_may(a, 4, true))
			return -1;
		pid = process_wait(&status);
		*(int *)a = status;
		return pid;
	case SYS_MAP:
		return map(a, b);
	case SYS_PROTECT:
		return region_protect(process, a, a + b, c) ? 0 : -1;
	case SYS_UNMAP:
		region_remove(process, a, a + b);
		return 0;
	case SYS_THREAD:
		return new_thread(frame);
	case SYS_FUTEX_WAIT:
		if (!user_may(a, 4, false))
			return -1;
		if (*(volatile u32 *)a == b)
			block((void *)a);
		return 0;
	case SYS_FUTEX_WAKE:
		wake((void *)a);
		return 0;
	case SYS_YIELD:
		schedule();
		return 0;
	case SYS_SLEEP:
		for (until = ticks + a; ticks < until;)
			block((void *)&ticks);
		return 0;
	case SYS_SET_FS:
		if (a >= USER_END)
			return -1;
		thread()->fs_base = a;
		wrmsr(MSR_FS_BASE, a);
		return 0;
	case SYS_ON_FAULT:
		process->fault_handler = a < USER_END ? a : 0;
		return 0;
	case SYS_IOPL:
		frame->rflags = (frame->rflags & ~(u64)IOPL) | (a & 3) << 12;
		return 0;
	case SYS_PORT:
		port_allow(a, b);
		return 0;
	case SYS_DISK:
		return user_may(c, b * 512, true) && disk_read(a, b, (void *)c) ? 0 : -1;
	case SYS_NET:
		return net_ask(a, b);
	case SYS_DATE:
		if (user_may(a, 12, true))
			date_read((u32 *)a);
		return 0;
	case SYS_ASK:
		return ask(a);
	case SYS_OFF: /* the last word is the double fault's: its handler turns the machine off */
		asm volatile("mov %0, %%rsp; push %%rax" ::"r"(0xFFFFA00000000000));
	}
	return -38;
}

/* True if SYSRET will do for the way back. */
bool system_call(struct frame *frame)
{
	if (frame->rax == SYS_FAULT_RETURN) {
		fault_return(frame, frame->rdi);
		return false;
	}
	frame->rax = dispatch(frame, frame->rdi, frame->rsi, frame->rdx);
	return frame->rip < USER_END;
}
