/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page frames: taken from Multiboot's memory map, counted by users, the free ones in a list through themselves. */
#include "kernel.h"

enum { MAX_FRAMES = 65536, HAS_MODULES = 1 << 3, HAS_MAP = 1 << 6, KIND_RAM = 1 };

struct multiboot {
	u32 flags, lower_kib, upper_kib, boot_device, command_line, n_modules, modules, symbols[4], map_bytes, map;
};
struct map_entry {
	u32 size;
	u64 base, length;
	u32 kind;
} __attribute__((packed));
struct free_page {
	struct free_page *next;
};

extern u8 kernel_end[];
static struct spinlock lock = {0, "frames"};
static struct free_page *free_list;
static u32 n_free, n_frames;
static u8 users[MAX_FRAMES];

static void add_range(u32 from, u32 to, u32 first)
{
	for (from = (from + PAGE - 1) & -PAGE; from + PAGE <= to; from += PAGE) {
		if (from < 0x100000 || from / PAGE >= MAX_FRAMES)
			continue; /* what firmware left below 1 MiB stays as it is */
		n_frames++;
		if (from < first)
			continue;
		users[from / PAGE] = 1;
		page_release(high(from));
	}
}

void frames_init(u32 multiboot)
{
	struct multiboot *info = high(multiboot);
	if (!(info->flags & HAS_MAP))
		panic("no memory map");
	u32 first = low(kernel_end), top = 0;
	if (info->flags & HAS_MODULES)
		for (u32 i = 0; i < info->n_modules; i++) {
			u32 end = ((u32 *)high(info->modules))[4 * i + 1];
			first = end > first ? end : first;
		}
	/* All of RAM must be reachable before a page in it is touched. */
	for (u32 at = info->map; at < info->map + info->map_bytes;) {
		struct map_entry *entry = high(at);
		if (entry->kind == KIND_RAM && (u32)(entry->base + entry->length) > top)
			top = entry->base + entry->length;
		at += entry->size + 4;
	}
	paging_init(top);
	for (u32 at = info->map; at < info->map + info->map_bytes;) {
		struct map_entry *entry = high(at);
		if (entry->kind == KIND_RAM)
			add_range(entry->base, entry->base + entry->length, first);
		at += entry->size + 4;
	}
}

u32 frames_free(void) { return n_free; }
u32 frames_all(void) { return n_frames; }

void *page_new(void)
{
	acquire(&lock);
	struct free_page *page = free_list;
	if (page) {
		free_list = page->next;
		users[low(page) / PAGE] = 1;
		n_free--;
	}
	release(&lock);
	return page ? memset(page, 0, PAGE) : NULL;
}

void page_share(void *page)
{
	acquire(&lock);
	users[low(page) / PAGE]++;
	release(&lock);
}

void page_release(void *page)
{
	acquire(&lock);
	if (users[low(page) / PAGE] == 0)
		panic("page_release: it is free");
	if (--users[low(page) / PAGE] == 0) {
		memset(page, 0xA5, 64); /* so that nobody relies on it */
		((struct free_page *)page)->next = free_list;
		free_list = page;
		n_free++;
	}
	release(&lock);
}

u32 page_users(void *page) { return users[low(page) / PAGE]; }
