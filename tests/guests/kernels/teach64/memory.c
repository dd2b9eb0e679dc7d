/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page frames, by physical address: a list of free ones, a count of users for each. */
#include "kernel.h"

enum { MAX_FRAMES = 65536 };

extern u8 kernel_end[];
static u64 free_list;
static u16 users[MAX_FRAMES];
u64 n_free, n_frames;

void *memset(void *to, int value, size_t n)
{
	void *at = to;
	asm volatile("rep stosb" : "+D"(at), "+c"(n) : "a"(value) : "memory");
	return to;
}

void *memcpy(void *to, const void *from, size_t n)
{
	void *at = to;
	asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(n)::"memory");
	return to;
}

void memory_init(const struct boot *boot)
{
	u64 first = ((u64)kernel_end - KERNEL + PAGE - 1) & -PAGE;
	for (u32 i = 0; i < boot->n_ram; i++)
		for (u64 at = (boot->ram[i].from + PAGE - 1) & -PAGE; at + PAGE <= boot->ram[i].to; at += PAGE) {
			bool is_module = at + PAGE > boot->module && at < boot->module_end;
			n_frames += at >= 0x100000;
			if (at < first || is_module || at / PAGE >= MAX_FRAMES)
				continue;
			users[at / PAGE] = 1;
			page_drop(at);
		}
}

u64 page_new(void)
{
	u64 page = free_list;
	if (!page)
		return 0;
	u64 *words = direct(page), n = PAGE / 8;
	free_list = *words;
	users[page / PAGE] = 1;
	n_free--;
	asm volatile("rep stosq" : "+D"(words), "+c"(n) : "a"(0) : "memory");
	return page;
}

void page_share(u64 page) { users[page / PAGE]++; }
u32 page_users(u64 page) { return users[page / PAGE]; }

void page_drop(u64 page)
{
	if (users[page / PAGE] == 0)
		panic("a free page is dropped");
	if (--users[page / PAGE])
		return;
	*(u64 *)direct(page) = free_list;
	free_list = page;
	n_free++;
}
