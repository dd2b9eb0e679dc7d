/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page tables. The kernel's half is the same in all: RAM by large pages, its own first 4 MiB by small ones. */
#include "kernel.h"

enum { P = 1, W = 2, U = 4, LARGE = 0x80, GLOBAL = 0x100, COPY = 0x200, FIRST_KERNEL = KERNEL_BASE >> 22 };
enum { FAULT_P = 1, FAULT_W = 2 };
#define LARGE_PAGE 0x400000u

extern u8 kernel_text_end[];
static u32 kernel_directory[1024] __attribute__((aligned(PAGE)));
static u32 first_table[1024] __attribute__((aligned(PAGE)));
u32 n_copies;

void paging_init(u32 memory_bytes)
{
	u32 last = (memory_bytes + LARGE_PAGE - 1) / LARGE_PAGE;
	if (last > 1024 - FIRST_KERNEL)
		last = 1024 - FIRST_KERNEL;
	for (u32 i = 0; i < 1024; i++) {
		bool is_text = i * PAGE >= 0x100000 && i * PAGE < low(kernel_text_end);
		first_table[i] = i * PAGE | GLOBAL | P | (is_text ? 0 : W);
	}
	kernel_directory[FIRST_KERNEL] = low(first_table) | W | P;
	for (u32 i = 1; i < last; i++)
		kernel_directory[FIRST_KERNEL + i] = i * LARGE_PAGE | LARGE | GLOBAL | W | P;
	directory_use(NULL);
	asm volatile("mov %%cr4, %%eax; or $0x80, %%eax; mov %%eax, %%cr4" ::: "eax"); /* PGE, and a flush */
}

void directory_use(u32 *directory) { load_cr3(low(directory ? directory : kernel_directory)); }

u32 *directory_new(void)
{
	u32 *directory = page_new();
	if (directory)
		memcpy(directory + FIRST_KERNEL, kernel_directory + FIRST_KERNEL, 4 * (1024 - FIRST_KERNEL));
	return directory;
}

static u32 *entry_of(u32 *directory, u32 address, bool make)
{
	u32 *table = high(directory[address >> 22] & -PAGE);
	if (!(directory[address >> 22] & P)) {
		if (!make || !(table = page_new()))
			return NULL;
		directory[address >> 22] = low(table) | U | W | P;
	}
	return &table[address >> 12 & 1023];
}

static bool map_new(u32 *directory, u32 address)
{
	u32 *entry = entry_of(directory, address, true);
	if (!entry)
		return false;
	if (*entry & P)
		return true;
	void *page = page_new();
	if (!page)
		return false;
	*entry = low(page) | U | W | P;
	return true;
}

bool user_map(u32 *directory, u32 address, u32 n_bytes)
{
	for (u32 at = address & -PAGE; at < address + n_bytes; at += PAGE)
		if (!map_new(directory, at))
			return false;
	return true;
}

/* Its pages can only be read from now on. */
void user_protect(u32 *directory, u32 address, u32 n_bytes)
{
	for (u32 at = address & -PAGE; at < address + n_bytes; at += PAGE)
		*entry_of(directory, at, false) &= ~W;
}

/* Whole pages between two addresses. */
void user_unmap(u32 *directory, u32 from, u32 to)
{
	for (u32 at = (from + PAGE - 1) & -PAGE; at < to; at += PAGE) {
		u32 *entry = entry_of(directory, at, false);
		if (entry && *entry & P) {
			page_release(high(*entry & -PAGE));
			*entry = 0;
			invlpg(at);
		}
	}
}

void directory_free(u32 *directory)
{
	for (u32 i = 0; i < FIRST_KERNEL; i++) {
		if (!(directory[i] & P))
			continue;
		u32 *table = high(directory[i] & -PAGE);
		for (u32 j = 0; j < 1024; j++)
			if (table[j] & P)
				page_release(high(table[j] & -PAGE));
		page_release(table);
	}
	page_release(directory);
}

/* The same pages for a child; who writes first gets a copy. */
u32 *directory_copy(u32 *directory)
{
	u32 *copy = directory_new();
	for (u32 i = 0; copy && i < FIRST_KERNEL; i++) {
		if (!(directory[i] & P))
			continue;
		u32 *table = high(directory[i] & -PAGE), *new = page_new();
		if (!new) {
			directory_free(copy);
			return NULL;
		}
		copy[i] = low(new) | U | W | P;
		for (u32 j = 0; j < 1024; j++) {
			if (!(table[j] & P))
				continue;
			if (table[j] & W)
				table[j] = (table[j] & ~W) | COPY;
			page_share(high(table[j] & -PAGE));
			new[j] = table[j];
		}
	}
	directory_use(directory); /* no stale writable entries */
	return copy;
}

/* True if the access may be tried again. From either ring: WP is set. */
bool page_fault(u32 address, u32 error)
{
	u32 *directory = current()->directory;
	if (!(error & FAULT_P)) {
		bool is_stack = address >= USER_STACK_LIMIT && address < USER_STACK_TOP;
		return is_stack && map_new(directory, address);
	}
	if (!(error & FAULT_W) || address >= KERNEL_BASE)
		return false;
	u32 *entry = entry_of(directory, address, false);
	if (!entry || !(*entry & COPY))
		return false;
	void *page = high(*entry & -PAGE);
	if (page_users(page) > 1) {
		void *copy = page_new();
		if (!copy)
			return false;
		memcpy(copy, page, PAGE);
		page_release(page);
		page = copy;
		n_copies++;
	}
	*entry = low(page) | U | W | P;
	invlpg(address);
	return true;
}

bool user_may(u32 address, u32 n_bytes, bool to_write)
{
	u32 end = address + n_bytes;
	if (end < address || end > KERNEL_BASE)
		return false;
	for (u32 at = address & -PAGE; at < end; at += PAGE) {
		u32 *entry = entry_of(current()->directory, at, false);
		if (!entry || !(*entry & P)) {
			if (!page_fault(at, 0))
				return false;
		} else if (to_write && !(*entry & (W | COPY))) {
			return false;
		}
	}
	return true;
}

void *user_page(u32 *directory, u32 address)
{
	u32 *entry = entry_of(directory, address, false);
	return entry && *entry & P ? high(*entry & -PAGE) : NULL;
}
