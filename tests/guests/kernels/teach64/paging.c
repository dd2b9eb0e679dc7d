/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Address spaces. Upper half, the same in all: 4 GiB of physical memory in one piece, without execution, by the
 * largest pages there are; and the kernel's image by small ones, each with just the rights that it needs.
 * Lower half: regions that a process asked for; their pages come when they are touched.
 */
#include "kernel.h"

#define P 1ull
#define W 2ull
#define U 4ull
#define PCD 0x10ull
#define LARGE 0x80ull
#define GLOBAL 0x100ull
#define SHARED 0x200ull /* ours: copy before the first write */
#define NX (1ull << 63)
#define FRAME 0x000FFFFFFFFFF000ull
#define GIB (1ull << 30)
enum { FAULT_P = 1, FAULT_W = 2, FAULT_RUN = 16 };

extern u8 kernel_start[], kernel_rodata[], kernel_data[], kernel_end[];
static u64 kernel_pml4;
u64 n_lazy, n_copied;

/* The entry for an address in the table of LEVEL (1: 4 KiB pages), making the tables on the way. */
static u64 *entry_of(u64 *table, u64 address, u32 level, bool make)
{
	for (u32 i = 4; i > level; i--) {
		u64 *entry = &table[address >> (12 + 9 * (i - 1)) & 511];
		if (!(*entry & P)) {
			u64 page = make ? page_new() : 0;
			if (!page)
				return NULL;
			*entry = page | U | W | P;
		}
		table = direct(*entry & FRAME);
	}
	return &table[address >> (12 + 9 * (level - 1)) & 511];
}

void paging_init(void)
{
	bool has_gib = cpuid_edx(0x80000001) & 1 << 26;
	u64 size = has_gib ? GIB : 2 << 20;
	kernel_pml4 = page_new();
	u64 *top = direct(kernel_pml4);
	for (u64 at = 0; at < 4 * GIB; at += size)
		*entry_of(top, DIRECT + at, has_gib ? 3 : 2, true) =
			at | NX | GLOBAL | LARGE | (at >= 3 * GIB ? PCD : 0) | W | P;
	for (u64 at = (u64)kernel_start; at < (u64)kernel_end; at += PAGE) {
		u64 rights = at < (u64)kernel_rodata ? 0 : at < (u64)kernel_data ? NX : NX | W;
		*entry_of(top, at, 1, true) = (at - KERNEL) | rights | GLOBAL | P;
	}
	WRITE_CR(3, kernel_pml4);
	WRITE_CR(4, READ_CR(4) | 0x80); /* PGE */
}

u64 space_new(void)
{
	u64 page = page_new();
	if (page)
		memcpy((u8 *)direct(page) + PAGE / 2, (u8 *)direct(kernel_pml4) + PAGE / 2, PAGE / 2);
	return page;
}

static void tables_free(u64 table, u32 level)
{
	u64 *entries = direct(table);
	for (u32 i = 0; i < (level == 4 ? 256 : 512); i++)
		if (entries[i] & P) {
			if (level > 1)
				tables_free(entries[i] & FRAME, level - 1);
			else
				page_drop(entries[i] & FRAME);
		}
	page_drop(table);
}

void space_free(struct process *process)
{
	tables_free(physical(process->pml4), 4);
	process->pml4 = NULL;
}

static bool tables_fork(u64 *from, u64 *to, u32 level)
{
	for (u32 i = 0; i < (level == 4 ? 256 : 512); i++) {
		if (!(from[i] & P))
			continue;
		if (level == 1) {
			from[i] = (from[i] & ~W) | SHARED;
			page_share(from[i] & FRAME);
			to[i] = from[i];
			continue;
		}
		u64 page = page_new();
		if (!page)
			return false;
		to[i] = page | U | W | P;
		if (!tables_fork(direct(from[i] & FRAME), direct(page), level - 1))
			return false;
	}
	return true;
}

bool space_fork(struct process *from, struct process *to)
{
	memcpy(to->regions, from->regions, sizeof to->regions);
	to->next_map = from->next_map;
	to->fault_handler = from->fault_handler;
	bool is_done = tables_fork(from->pml4, to->pml4, 4);
	WRITE_CR(3, READ_CR(3)); /* the parent's pages have become read-only */
	return is_done;
}

static struct region *region_at(struct process *process, u64 address)
{
	for (struct region *r = process->regions; r < process->regions + N_REGIONS; r++)
		if (address >= r->from && address < r->to)
			return r;
	return NULL;
}

static u64 rights(u32 access) { return U | P | (access & CAN_WRITE ? W : 0) | (access & CAN_RUN ? 0 : NX); }

bool page_fault(u64 address, u64 error)
{
	struct process *process = thread() ? thread()->process : NULL;
	struct region *region = process ? region_at(process, address) : NULL;
	if (!region || !(region->access & CAN_READ))
		return false;
	u64 *entry = entry_of(process->pml4, address, 1, true);
	if (!entry)
		return false;
	if (!(*entry & P)) {
		if ((error & FAULT_W && !(region->access & CAN_WRITE)) || (error & FAULT_RUN && !(region->access & CAN_RUN)))
			return false;
		u64 page = page_new();
		*entry = page ? page | rights(region->access) : 0;
		n_lazy += page != 0;
		return page != 0;
	}
	if (!(error & FAULT_W) || !(*entry & SHARED) || !(region->access & CAN_WRITE))
		return false;
	u64 page = *entry & FRAME;
	if (page_users(page) > 1) {
		u64 copy = page_new();
		if (!copy)
			return false;
		memcpy(direct(copy), direct(page), PAGE);
		page_drop(page);
		page = copy;
		n_copied++;
	}
	*entry = page | rights(region->access);
	invlpg(address);
	return true;
}

bool user_may(u64 address, u64 n, bool to_write)
{
	if (address + n < address || address + n > USER_END)
		return false;
	for (u64 at = address & -PAGE; at < address + n; at += PAGE) {
		struct region *region = region_at(thread()->process, at);
		if (!region || !(region->access & (to_write ? CAN_WRITE : CAN_READ)))
			return false;
	}
	return true; /* ring 0 may fault there, too */
}

bool region_add(struct process *process, u64 from, u64 to, u32 access)
{
	for (struct region *r = process->regions; r < process->regions + N_REGIONS; r++)
		if (!r->to) {
			*r = (struct region){from, to, access};
			return true;
		}
	return false;
}

/* For whole regions only. */
bool region_protect(struct process *process, u64 from, u64 to, u32 access)
{
	struct region *region = region_at(process, from);
	if (!region || region->from != from || region->to != to)
		return false;
	region->access = access;
	for (u64 at = from; at < to; at += PAGE) {
		u64 *entry = entry_of(process->pml4, at, 1, false);
		if (!entry || !*entry)
			continue;
		u64 kept = *entry & (FRAME | SHARED);
		*entry = kept | (access & CAN_READ ? rights(access) : P) | (kept & SHARED ? SHARED : 0);
		if (kept & SHARED)
			*entry &= ~W;
		invlpg(at);
	}
	return true;
}

void region_remove(struct process *process, u64 from, u64 to)
{
	struct region *region = region_at(process, from);
	if (!region || region->from != from || region->to != to)
		return;
	for (u64 at = from; at < to; at += PAGE) {
		u64 *entry = entry_of(process->pml4, at, 1, false);
		if (entry && *entry & P) {
			page_drop(*entry & FRAME);
			*entry = 0;
			invlpg(at);
		}
	}
	*region = (struct region){0, 0, 0};
}
