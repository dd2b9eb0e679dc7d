/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first ATA disk by programmed I/O: one sector a command, a queue, and an interrupt for each. */
#include "kernel.h"

enum { DATA = 0x1F0, COUNT = 0x1F2, LBA0, LBA1, LBA2, DRIVE, STATUS, COMMAND = STATUS, CONTROL = 0x3F6 };
enum { ERR = 1, DRQ = 8, DF = 0x20, DRDY = 0x40, BSY = 0x80 };
enum { READ = 0x20, WRITE = 0x30, FLUSH = 0xE7, IDENTIFY = 0xEC };

static struct spinlock lock = {0, "disk"};
static struct buffer *queue;
static bool is_flushing;
u32 disk_sectors, n_disk_interrupts;

static u8 wait_ready(void)
{
	u8 status;
	while (((status = inb(STATUS)) & (BSY | DRDY)) != DRDY)
		;
	return status;
}

void disk_init(void)
{
	u32 identity[SECTOR / 4];
	outb(CONTROL, 2); /* no interrupts: by polling */
	outb(DRIVE, 0xE0);
	if (inb(STATUS) == 0xFF)
		panic("no disk");
	wait_ready();
	outb(COMMAND, IDENTIFY);
	if (wait_ready() & (ERR | DF))
		panic("IDENTIFY");
	insl(DATA, identity, SECTOR / 4);
	disk_sectors = identity[30];
	outb(CONTROL, 0);
	unmask(2);
	unmask(IRQ_DISK);
}

static void start(struct buffer *buffer)
{
	wait_ready();
	outb(COUNT, 1);
	outb(LBA0, buffer->sector);
	outb(LBA1, buffer->sector >> 8);
	outb(LBA2, buffer->sector >> 16);
	outb(DRIVE, 0xE0 | (buffer->sector >> 24 & 15));
	if (!buffer->dirty) {
		outb(COMMAND, READ);
		return;
	}
	outb(COMMAND, WRITE);
	while (!(inb(STATUS) & DRQ))
		;
	outsl(DATA, buffer->data, SECTOR / 4);
}

void disk_interrupt(void)
{
	acquire(&lock);
	n_disk_interrupts++;
	u8 status = wait_ready();
	if (is_flushing) {
		is_flushing = false;
		wake_up(&is_flushing);
	} else if (queue) {
		struct buffer *buffer = queue;
		queue = buffer->next_in_queue;
		if (!buffer->dirty && !(status & (ERR | DF)))
			insl(DATA, buffer->data, SECTOR / 4);
		buffer->dirty = false;
		buffer->valid = !(status & (ERR | DF));
		wake_up(buffer);
		if (queue)
			start(queue);
	}
	release(&lock);
}

/* Reads the sector, or writes it if it is dirty; sleeps until that is done. */
void disk_transfer(struct buffer *buffer)
{
	struct buffer **end = &queue;
	acquire(&lock);
	buffer->next_in_queue = NULL;
	if (!buffer->dirty)
		buffer->valid = false;
	bool is_read = !buffer->dirty;
	while (*end)
		end = &(*end)->next_in_queue;
	*end = buffer;
	if (queue == buffer)
		start(buffer);
	while (is_read ? !buffer->valid : buffer->dirty)
		sleep(buffer, &lock);
	release(&lock);
}

void disk_flush(void)
{
	acquire(&lock);
	if (queue)
		panic("flush: the disk is in use");
	wait_ready();
	is_flushing = true;
	outb(COMMAND, FLUSH);
	while (is_flushing)
		sleep(&is_flushing, &lock);
	release(&lock);
}
