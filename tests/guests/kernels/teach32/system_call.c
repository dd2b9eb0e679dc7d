/* SPDX-License-Identifier: GPL-2.0-or-later */
/* System calls: what a program may ask for, and what is done about bad pointers. */
#include "numbers.h"

#include "kernel.h"

enum { CONSOLE = 3 }; /* files below this one */

static bool string_at(u32 address, char *to, u32 max)
{
	for (u32 i = 0; i < max; i++) {
		if (!user_may(address + i, 1, false))
			return false;
		if (!(to[i] = *(char *)(address + i)))
			return true;
	}
	return false;
}

static struct file *open_file(u32 number)
{
	if (number < CONSOLE || number >= N_FILES || current()->files[number].inode < 0)
		return NULL;
	return &current()->files[number];
}

static int sys_read(u32 number, u32 to, u32 n)
{
	if (!user_may(to, n, true))
		return -1;
	if (number < CONSOLE)
		return console_read((char *)to, n);
	struct file *file = open_file(number);
	int got = file ? file_read(file->inode, file->offset, (void *)to, n) : -1;
	if (got > 0)
		file->offset += got;
	return got;
}

static int sys_write(u32 number, u32 from, u32 n)
{
	if (!user_may(from, n, false))
		return -1;
	if (number < CONSOLE)
		return console_write((const char *)from, n);
	struct file *file = open_file(number);
	return file ? file_append(file->inode, (const void *)from, n) : -1;
}

static int sys_open(u32 name)
{
	char path[16];
	if (!string_at(name, path, sizeof path))
		return -1;
	int inode = file_find(path);
	for (u32 i = CONSOLE; inode >= 0 && i < N_FILES; i++)
		if (current()->files[i].inode < 0) {
			current()->files[i] = (struct file){inode, 0};
			return i;
		}
	return -1;
}

static int sys_close(u32 number)
{
	struct file *file = open_file(number);
	if (!file)
		return -1;
	file->inode = -1;
	return 0;
}

static int sys_exec(u32 name, u32 list)
{
	char path[16], strings[MAX_ARGS][64], *arguments[MAX_ARGS + 1];
	u32 n = 0;
	if (!string_at(name, path, sizeof path))
		return -1;
	for (;; n++) {
		if (n > MAX_ARGS || !user_may(list + 4 * n, 4, false))
			return -1;
		u32 address = ((u32 *)list)[n];
		if (!address)
			break;
		if (n == MAX_ARGS || !string_at(address, strings[n], sizeof strings[n]))
			return -1;
		arguments[n] = strings[n];
	}
	arguments[n] = NULL;
	return exec(path, arguments);
}

static int sys_sbrk(int more)
{
	struct process *self = current();
	u32 old = self->brk, new = old + more;
	if (more > 0 && (new < old || new > USER_STACK_LIMIT))
		return -1;
	if (more > 0 && !user_map(self->directory, old, more)) {
		user_unmap(self->directory, old, new);
		return -1;
	}
	if (more < 0) {
		if (new > old || new < USER_TEXT)
			return -1;
		user_unmap(self->directory, new, old);
	}
	self->brk = new;
	return old;
}

static int sys_sleep(u32 n)
{
	acquire(&ticks_lock);
	u32 from = ticks;
	while (ticks - from < n && !current()->killed)
		sleep((void *)&ticks, &ticks_lock);
	release(&ticks_lock);
	return 0;
}

static int ask(u32 what)
{
	u32 addresses[32];
	switch (what) {
	case ASK_FREE_FRAMES:
		return frames_free();
	case ASK_COPIES:
		return n_copies;
	case ASK_DISK_INTERRUPTS:
		return n_disk_interrupts;
	case ASK_DEPTH:
		return backtrace(addresses, 32);
	default:
		return -1;
	}
}

static int dispatch(u32 number, u32 a, u32 b, u32 c)
{
	int status = 0, pid;
	switch (number) {
	case SYS_EXIT:
		exit(a);
	case SYS_FORK:
		return fork();
	case SYS_READ:
		return sys_read(a, b, c);
	case SYS_WRITE:
		return sys_write(a, b, c);
	case SYS_OPEN:
		return sys_open(a);
	case SYS_CLOSE:
		return sys_close(a);
	case SYS_WAIT:
		if (!user_may(a, 4, true))
			return -1;
		pid = wait(&status);
		*(int *)a = status; /* ring 0 writes a page that may be shared: WP makes it a fault */
		return pid;
	case SYS_EXEC:
		return sys_exec(a, b);
	case SYS_GETPID:
		return current()->pid;
	case SYS_KILL:
		return kill(a);
	case SYS_SBRK:
		return sys_sbrk(a);
	case SYS_YIELD:
		yield();
		return 0;
	case SYS_SLEEP:
		return sys_sleep(a);
	case SYS_UPTIME:
		return ticks;
	case SYS_SYNC:
		files_sync();
		return 0;
	case SYS_ASK:
		return ask(a);
	case SYS_PANIC:
		panic("asked for");
	case SYS_OFF:
		console_flush();
		print("teach32: off\n");
		power_off();
	default:
		return -38;
	}
}

void system_call(struct trap_frame *frame)
{
	frame->eax = dispatch(frame->eax, frame->ebx, frame->ecx, frame->edx);
}
