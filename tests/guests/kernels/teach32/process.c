/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes: fork, exit, wait, sleep and wake-up, and the scheduler that goes round. */
#include "kernel.h"

extern void context_switch(struct context **old, struct context *new);
extern u8 trap_return[];

struct spinlock table_lock = {0, "process table"};
static struct process table[N_PROCESSES];
static struct process *init;
static int next_pid = 1;

/* Where a new process begins: the scheduler holds the lock for it. */
static void first_return(void)
{
	static bool is_set_up;
	release(&table_lock);
	if (is_set_up)
		return;
	is_set_up = true; /* what may sleep can be done from here on */
	files_init();
	keyboard_type("\x23\x17\x1c"); /* "hi" and Enter */
	console_receive(true);
	char *arguments[] = {"init", "one", "two", NULL};
	if (exec("init", arguments) < 0)
		panic("no init");
}

static struct process *allocate(void)
{
	struct process *process = NULL;
	acquire(&table_lock);
	for (u32 i = 0; i < N_PROCESSES && !process; i++)
		if (table[i].state == UNUSED)
			process = &table[i];
	if (process) {
		memset(process, 0, sizeof *process);
		process->state = EMBRYO;
		process->pid = next_pid++;
	}
	release(&table_lock);
	if (!process)
		return NULL;
	process->kernel_stack = page_new();
	if (!process->kernel_stack) {
		process->state = UNUSED;
		return NULL;
	}
	for (u32 i = 0; i < N_FILES; i++)
		process->files[i].inode = -1;
	u8 *top = process->kernel_stack + PAGE;
	process->frame = (struct trap_frame *)(top -= sizeof *process->frame);
	*(u32 *)(top -= 4) = (u32)trap_return;
	process->context = (struct context *)(top - sizeof *process->context);
	process->context->eip = (u32)first_return;
	return process;
}

void first_process(void)
{
	init = allocate();
	init->directory = directory_new();
	init->frame->cs = SEG_UCODE;
	init->frame->ds = init->frame->es = init->frame->ss = SEG_UDATA;
	init->frame->eflags = FLAG_IF;
	init->state = RUNNABLE;
}

void scheduler(void)
{
	for (;;) {
		bool is_idle = true;
		sti();
		acquire(&table_lock);
		for (struct process *p = table; p < table + N_PROCESSES; p++) {
			if (p->state != RUNNABLE)
				continue;
			is_idle = false;
			p->state = RUNNING;
			this_cpu()->process = p;
			set_kernel_stack((u32)p->kernel_stack + PAGE);
			directory_use(p->directory);
			context_switch(&this_cpu()->scheduler, p->context);
			directory_use(NULL);
			this_cpu()->process = NULL;
		}
		release(&table_lock);
		if (is_idle)
			sti_hlt();
	}
}

/* Back to the scheduler, with only its lock held. */
static void reschedule(void)
{
	if (this_cpu()->cli_depth != 1 || eflags() & FLAG_IF)
		panic("reschedule: locks");
	bool were_on = this_cpu()->interrupts_were_on;
	context_switch(&current()->context, this_cpu()->scheduler);
	this_cpu()->interrupts_were_on = were_on;
}

void yield(void)
{
	acquire(&table_lock);
	current()->state = RUNNABLE;
	reschedule();
	release(&table_lock);
}

void sleep(void *channel, struct spinlock *lock)
{
	if (lock != &table_lock) {
		acquire(&table_lock); /* first: no wake-up may come between */
		release(lock);
	}
	current()->channel = channel;
	current()->state = SLEEPING;
	reschedule();
	current()->channel = NULL;
	if (lock != &table_lock) {
		release(&table_lock);
		acquire(lock);
	}
}

static void wake_up_locked(void *channel)
{
	for (struct process *p = table; p < table + N_PROCESSES; p++)
		if (p->state == SLEEPING && p->channel == channel)
			p->state = RUNNABLE;
}

void wake_up(void *channel)
{
	acquire(&table_lock);
	wake_up_locked(channel);
	release(&table_lock);
}

int fork(void)
{
	struct process *parent = current(), *child = allocate();
	if (!child)
		return -1;
	child->directory = directory_copy(parent->directory);
	if (!child->directory) {
		page_release(child->kernel_stack);
		child->state = UNUSED;
		return -1;
	}
	child->brk = parent->brk;
	child->parent = parent;
	*child->frame = *parent->frame;
	child->frame->eax = 0;
	memcpy(child->files, parent->files, sizeof child->files);
	copy_string(child->name, parent->name, sizeof child->name);
	acquire(&table_lock);
	int pid = child->pid;
	child->state = RUNNABLE;
	release(&table_lock);
	return pid;
}

void exit(int status)
{
	struct process *self = current();
	if (self == init)
		panic("init ends");
	acquire(&table_lock);
	wake_up_locked(self->parent);
	for (struct process *p = table; p < table + N_PROCESSES; p++)
		if (p->parent == self) {
			p->parent = init;
			if (p->state == ZOMBIE)
				wake_up_locked(init);
		}
	self->status = status;
	self->state = ZOMBIE;
	reschedule();
	panic("a zombie runs");
}

int wait(int *status)
{
	acquire(&table_lock);
	for (;;) {
		bool has_children = false;
		for (struct process *p = table; p < table + N_PROCESSES; p++) {
			if (p->state == UNUSED || p->parent != current())
				continue;
			has_children = true;
			if (p->state != ZOMBIE)
				continue;
			int pid = p->pid;
			*status = p->status;
			page_release(p->kernel_stack);
			directory_free(p->directory);
			p->state = UNUSED;
			p->parent = NULL;
			release(&table_lock);
			return pid;
		}
		if (!has_children || current()->killed) {
			release(&table_lock);
			return -1;
		}
		sleep(current(), &table_lock);
	}
}

int kill(int pid)
{
	int result = -1;
	acquire(&table_lock);
	for (struct process *p = table; p < table + N_PROCESSES; p++) {
		if (p->state == UNUSED || p->pid != pid)
			continue;
		p->killed = true;
		if (p->state == SLEEPING)
			p->state = RUNNABLE;
		result = 0;
	}
	release(&table_lock);
	return result;
}
