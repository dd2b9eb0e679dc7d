/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the interrupt controllers are, by ACPI's MADT. */
#include "kernel.h"

struct header {
	char signature[4];
	u32 length;
	u8 revision, checksum, rest[26];
} __attribute__((packed));

static bool adds_up(const void *at, u32 n)
{
	u8 sum = 0;
	for (u32 i = 0; i < n; i++)
		sum += ((const u8 *)at)[i];
	return sum == 0;
}

static u32 word_at(const u8 *at) { return at[0] | at[1] << 8 | at[2] << 16 | (u32)at[3] << 24; }

static const u8 *find(u64 rsdp, const char *signature)
{
	const u8 *root = direct(rsdp);
	if (!rsdp || !adds_up(root, 20))
		return NULL;
	const struct header *rsdt = direct(word_at(root + 16));
	if (!adds_up(rsdt, rsdt->length))
		return NULL;
	for (u32 at = sizeof *rsdt; at < rsdt->length; at += 4) {
		const struct header *table = direct(word_at((const u8 *)rsdt + at));
		if (!__builtin_memcmp(table->signature, signature, 4) && adds_up(table, table->length))
			return (const u8 *)table;
	}
	return NULL;
}

int memcmp(const void *a, const void *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (((const u8 *)a)[i] != ((const u8 *)b)[i])
			return ((const u8 *)a)[i] - ((const u8 *)b)[i];
	return 0;
}

bool madt_read(struct madt *madt, u64 rsdp)
{
	const u8 *table = find(rsdp, "APIC");
	if (!table)
		return false;
	madt->local_apic = word_at(table + 36);
	for (u32 i = 0; i < 16; i++)
		madt->gsi[i] = i;
	for (const u8 *at = table + 44; at < table + word_at(table + 4); at += at[1]) {
		if (at[0] == 1)
			madt->io_apic = word_at(at + 4);
		if (at[0] == 2 && at[3] < 16) {
			madt->gsi[at[3]] = word_at(at + 4);
			madt->flags[at[3]] = at[8];
		}
	}
	return madt->io_apic;
}
