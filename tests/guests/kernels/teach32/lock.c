/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Spin locks, held with interrupts off; sleep locks, held as long as it takes. */
#include "kernel.h"

void push_cli(void)
{
	u32 flags = eflags();
	cli();
	if (this_cpu()->cli_depth++ == 0)
		this_cpu()->interrupts_were_on = flags & FLAG_IF;
}

void pop_cli(void)
{
	if (eflags() & FLAG_IF)
		panic("pop_cli: interrupts are on");
	if (this_cpu()->cli_depth-- == 0)
		panic("pop_cli: without push_cli");
	if (this_cpu()->cli_depth == 0 && this_cpu()->interrupts_were_on)
		sti();
}

void acquire(struct spinlock *lock)
{
	push_cli();
	if (lock->locked)
		panic(lock->name);
	while (xchg(&lock->locked, 1))
		;
}

void release(struct spinlock *lock)
{
	if (!lock->locked)
		panic(lock->name);
	xchg(&lock->locked, 0);
	pop_cli();
}

void sleep_acquire(struct sleeplock *lock)
{
	acquire(&lock->guard);
	while (lock->locked)
		sleep(lock, &lock->guard);
	lock->locked = true;
	release(&lock->guard);
}

void sleep_release(struct sleeplock *lock)
{
	acquire(&lock->guard);
	lock->locked = false;
	wake_up(lock);
	release(&lock->guard);
}
