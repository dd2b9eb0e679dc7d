/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes and their threads. The kernel itself runs with interrupts off, but for when nobody is ready. */
#include "kernel.h"

struct elf {
	u8 ident[16];
	u16 type, machine;
	u32 version;
	u64 entry, programs_at, sections_at;
	u32 flags;
	u16 header_bytes, program_bytes, n_programs;
};
struct elf_program {
	u32 type, flags;
	u64 offset, address, physical, file_bytes, memory_bytes, alignment;
};
enum { LOAD = 1, ELF_RUN = 1, ELF_WRITE = 2, USER_FLAGS = 0x202 };

extern void stack_switch(u64 *old, u64 new);
extern u8 trap_return[];
static struct thread threads[N_THREADS];
static struct process processes[N_PROCESSES];
static u8 stacks[N_THREADS][STACK] __attribute__((aligned(16)));
static int next_pid = 1;

struct process *process_new(struct process *parent)
{
	for (struct process *p = processes; p < processes + N_PROCESSES; p++) {
		if (p->pid)
			continue;
		u64 top = space_new();
		if (!top)
			return NULL;
		memset(p, 0, sizeof *p);
		p->pid = next_pid++;
		p->parent = parent;
		p->pml4 = direct(top);
		p->next_map = USER_MAP;
		return p;
	}
	return NULL;
}

struct thread *thread_new(struct process *process, const struct frame *frame)
{
	static u8 clean[512] __attribute__((aligned(16)));
	static bool has_clean;
	if (!has_clean) {
		asm volatile("fninit; fxsave64 %0" : "=m"(clean));
		*(u32 *)(clean + 24) = 0x1F80; /* MXCSR */
		has_clean = true;
	}
	for (u32 i = 0; i < N_THREADS; i++) {
		struct thread *t = &threads[i];
		if (t->state != UNUSED || t == thread())
			continue;
		u64 top = (u64)stacks[i] + STACK - sizeof *frame;
		memcpy((void *)top, frame, sizeof *frame);
		((u64 *)top)[-1] = (u64)trap_return;
		*t = (struct thread){READY, process, NULL, top - 7 * 8, 0, 0, false, stacks[i] + STACK, {0}};
		memcpy(t->fpu_state, clean, sizeof clean);
		process->n_threads++;
		return t;
	}
	return NULL;
}

static struct thread *pick(void)
{
	static u32 last;
	for (u32 i = 1; i <= N_THREADS; i++)
		if (threads[(last + i) % N_THREADS].state == READY)
			return &threads[last = (last + i) % N_THREADS];
	return NULL;
}

void schedule(void)
{
	static u64 nobody;
	struct thread *old = thread(), *next;
	while (!(next = pick()))
		wait_for_interrupt();
	if (next == old)
		return;
	this_cpu()->thread = next;
	kernel_stack_set((u64)next->stack_top);
	if (READ_CR(3) != physical(next->process->pml4))
		WRITE_CR(3, physical(next->process->pml4));
	wrmsr(MSR_FS_BASE, next->fs_base);
	if (this_cpu()->fpu_owner == next)
		asm volatile("clts");
	else
		WRITE_CR(0, READ_CR(0) | 8); /* TS */
	stack_switch(old ? &old->kernel_sp : &nobody, next->kernel_sp);
}

void block(void *channel)
{
	thread()->channel = channel;
	thread()->state = BLOCKED;
	schedule();
}

void wake(void *channel)
{
	for (struct thread *t = threads; t < threads + N_THREADS; t++)
		if (t->state == BLOCKED && t->channel == channel)
			t->state = READY;
}

static void drop(struct thread *t)
{
	t->state = UNUSED;
	t->process->n_threads--;
	if (this_cpu()->fpu_owner == t)
		this_cpu()->fpu_owner = NULL;
}

void exit_thread(void)
{
	if (thread()->process->n_threads == 1)
		exit_process(0);
	drop(thread());
	schedule();
	panic("a thread came back");
}

void exit_process(int status)
{
	struct process *self = thread()->process;
	for (struct thread *t = threads; t < threads + N_THREADS; t++)
		if (t->state != UNUSED && t->process == self)
			drop(t);
	for (struct process *p = processes; p < processes + N_PROCESSES; p++)
		if (p->parent == self)
			p->parent = processes;
	self->is_zombie = true;
	self->status = status;
	wake(self->parent);
	schedule();
	panic("a process came back");
}

int process_wait(int *status)
{
	struct process *self = thread()->process;
	for (;;) {
		bool has_children = false;
		for (struct process *p = processes; p < processes + N_PROCESSES; p++) {
			if (!p->pid || p->parent != self)
				continue;
			has_children = true;
			if (!p->is_zombie)
				continue;
			int pid = p->pid;
			*status = p->status;
			space_free(p);
			p->pid = 0;
			return pid;
		}
		if (!has_children)
			return -1;
		block(self);
	}
}

/* The first process, from an ELF file in memory; its pages come by faults in ring 0. */
void process_start(u64 file, u64 end)
{
	const struct elf *elf = direct(file);
	if (end - file < sizeof *elf || *(u32 *)elf->ident != 0x464C457F)
		panic("the module is no ELF file");
	struct process *process = process_new(NULL);
	struct frame frame = {.rip = elf->entry, .cs = USER_CODE, .ss = USER_DATA, .rsp = USER_STACK, .rflags = USER_FLAGS};
	this_cpu()->thread = thread_new(process, &frame);
	WRITE_CR(3, physical(process->pml4));
	const struct elf_program *programs = direct(file + elf->programs_at);
	for (u32 i = 0; i < elf->n_programs; i++) {
		const struct elf_program *p = &programs[i];
		if (p->type != LOAD || !p->memory_bytes)
			continue;
		u64 from = p->address & -PAGE, to = (p->address + p->memory_bytes + PAGE - 1) & -PAGE;
		region_add(process, from, to, CAN_READ | CAN_WRITE);
		memcpy((void *)p->address, direct(file + p->offset), p->file_bytes);
		u32 access = CAN_READ | (p->flags & ELF_WRITE ? CAN_WRITE : 0) | (p->flags & ELF_RUN ? CAN_RUN : 0);
		region_protect(process, from, to, access);
	}
	region_add(process, USER_STACK - 0x10000, USER_STACK, CAN_READ | CAN_WRITE);
	this_cpu()->thread = NULL;
	schedule();
}
