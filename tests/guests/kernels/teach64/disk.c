/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads from the first ATA disk, up to 255 sectors a command, an interrupt and one REP INSW for each. */
#include "kernel.h"

enum { BASE = 0x1F0, BSY = 0x80, DRDY = 0x40, DRQ = 8, ERR = 1, READ_SECTORS = 0x20 };

static volatile bool has_interrupted;
static volatile u8 status;

void disk_interrupt(void)
{
	status = inb(BASE + 7);
	has_interrupted = true;
	wake((void *)&has_interrupted);
}

bool disk_read(u32 sector, u32 n, void *to)
{
	u8 task_file[] = {n, sector, sector >> 8, sector >> 16, 0xE0 | (sector >> 24 & 15), READ_SECTORS};
	while (inb(BASE + 7) & BSY)
		;
	irq_enable(14, true);
	outb(0x3F6, 0);
	has_interrupted = false;
	for (u32 i = 0; i < sizeof task_file; i++)
		outb(BASE + 2 + i, task_file[i]);
	for (u32 i = 0; i < n; i++, to = (u8 *)to + 512) {
		while (!has_interrupted)
			block((void *)&has_interrupted);
		has_interrupted = false;
		if (status & ERR || !(status & DRQ))
			return false;
		insw(BASE, to, 256);
	}
	return true;
}
