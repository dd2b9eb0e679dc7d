/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first process: tries what the kernel promises, one fact a line, and turns the machine off. */
#include "user.h"

asm(".global _start\n_start: and $-16, %rsp; call main\n");

static void try_devices(void)
{
	static u8 sectors[9 * 512];
	u64 before = ask(ASK_DISK_INTERRUPTS);
	int result = call(SYS_DISK, 3, 9, (u64)sectors);
	u32 sum = 0;
	for (u32 i = 0; i < sizeof sectors; i++)
		sum = sum * 31 + sectors[i];
	say("disk: %d, sum 0x%x, interrupts %lu", result, sum, ask(ASK_DISK_INTERRUPTS) - before);
	u32 date[3];
	call(SYS_DATE, (u64)date, 0, 0);
	say("date: %d-%d-%d", date[0], date[1], date[2]);
	static const u32 sizes[] = {60, 61, 200, 1514};
	for (u32 i = 0; i < 4; i++)
		say("network: of a frame of %d bytes, right: %d", sizes[i], (int)call(SYS_NET, sizes[i], 7 * i, 0));
	u32 total = 0;
	for (u32 i = 0; i < 30; i++)
		total += call(SYS_NET, 1000 + i, i, 0);
	say("network: thirty more: %d", total);
}

int main(void)
{
	int status;
	if (fork() == 0)
		exit(0);
	wait(&status);
	volatile u8 *page = map(PAGE, CAN_READ | CAN_WRITE); /* so that the tables for it exist */
	*page = 1;
	unmap((void *)page, PAGE);
	u64 before = ask(ASK_FREE);
	try_processes();
	try_memory();
	try_code();
	say("pages lost: %d", (int)(before - ask(ASK_FREE)));
	try_faults();
	try_threads();
	try_fpu();
	try_devices();
	call(SYS_OFF, 0, 0, 0);
	exit(0);
}
