/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tiny file system, flat: sector 0 names it, sector 1 is its directory, each file has its sectors in one piece. */
#include "kernel.h"

enum { DIRECTORY = 1, N_INODES = SECTOR / 32, MAGIC = 0x33534654 }; /* "TFS3" */

struct inode {
	char name[16];
	u32 start, size_bytes, n_sectors, reserved;
};

static struct spinlock cache_lock = {0, "buffers"};
static struct buffer cache[N_BUFFERS];
static u32 next_victim;
static struct sleeplock directory_lock = {false, {0, "directory"}};
static struct inode inodes[N_INODES];

/* The sector's buffer, locked, with its content. */
static struct buffer *get(u32 sector)
{
	struct buffer *found = NULL;
	acquire(&cache_lock);
	for (u32 i = 0; i < N_BUFFERS && !found; i++)
		if ((cache[i].valid || cache[i].n_users) && cache[i].sector == sector)
			found = &cache[i];
	for (u32 tries = 0; !found; tries++) {
		struct buffer *victim = &cache[next_victim++ % N_BUFFERS];
		if (victim->n_users || (victim->dirty && tries < 2 * N_BUFFERS))
			continue;
		found = victim;
		if (found->dirty) { /* all are: this one goes out first */
			found->n_users++;
			release(&cache_lock);
			disk_transfer(found);
			acquire(&cache_lock);
			found->n_users--;
		}
		found->sector = sector;
		found->valid = false;
	}
	found->n_users++;
	release(&cache_lock);
	sleep_acquire(&found->lock);
	if (!found->valid)
		disk_transfer(found);
	return found;
}

static void put(struct buffer *buffer)
{
	sleep_release(&buffer->lock);
	acquire(&cache_lock);
	buffer->n_users--;
	release(&cache_lock);
}

void files_init(void)
{
	for (u32 i = 0; i < N_BUFFERS; i++)
		cache[i].lock.guard.name = "buffer";
	struct buffer *super = get(0);
	if (*(u32 *)super->data != MAGIC)
		panic("no file system");
	put(super);
	struct buffer *directory = get(DIRECTORY);
	memcpy(inodes, directory->data, sizeof inodes);
	put(directory);
}

int file_find(const char *name)
{
	for (u32 i = 0; i < N_INODES; i++)
		if (inodes[i].name[0] && !strcmp(inodes[i].name, name))
			return i;
	return -1;
}

u32 file_size(int inode) { return inodes[inode].size_bytes; }

int file_read(int inode, u32 offset, void *to, u32 n)
{
	u32 size = inodes[inode].size_bytes;
	if (offset >= size)
		return 0;
	if (n > size - offset)
		n = size - offset;
	for (u32 done = 0, part; done < n; done += part) {
		u32 at = (offset + done) % SECTOR;
		part = n - done < SECTOR - at ? n - done : SECTOR - at;
		struct buffer *buffer = get(inodes[inode].start + (offset + done) / SECTOR);
		memcpy((u8 *)to + done, buffer->data + at, part);
		put(buffer);
	}
	return n;
}

/* All of it, or -1 when the file has no more room. */
int file_append(int inode, const void *from, u32 n)
{
	struct inode *file = &inodes[inode];
	sleep_acquire(&directory_lock);
	u32 offset = file->size_bytes;
	if (n > file->n_sectors * SECTOR - offset) {
		sleep_release(&directory_lock);
		return -1;
	}
	for (u32 done = 0, part; done < n; done += part) {
		u32 at = (offset + done) % SECTOR;
		part = n - done < SECTOR - at ? n - done : SECTOR - at;
		struct buffer *buffer = get(file->start + (offset + done) / SECTOR);
		memcpy(buffer->data + at, (const u8 *)from + done, part);
		buffer->dirty = true;
		put(buffer);
	}
	file->size_bytes += n;
	struct buffer *directory = get(DIRECTORY);
	memcpy(directory->data, inodes, sizeof inodes);
	directory->dirty = true;
	put(directory);
	sleep_release(&directory_lock);
	return n;
}

void files_sync(void)
{
	sleep_acquire(&directory_lock);
	for (u32 i = 0; i < N_BUFFERS; i++) {
		sleep_acquire(&cache[i].lock);
		if (cache[i].dirty)
			disk_transfer(&cache[i]);
		sleep_release(&cache[i].lock);
	}
	disk_flush();
	sleep_release(&directory_lock);
}
