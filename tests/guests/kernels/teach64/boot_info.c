/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the loader says, in one form for PVH and Multiboot. */
#include "kernel.h"

enum { MULTIBOOT_MAGIC = 0x2BADB002, PVH_MAGIC = 0x336EC578 };

struct pvh {
	u32 magic, version, flags, n_modules;
	u64 modules, command_line, rsdp, map;
	u32 n_map, reserved;
};
struct pvh_entry {
	u64 from, size;
	u32 kind, reserved;
};
struct multiboot {
	u32 flags, lower, upper, device, command_line, n_modules, modules, symbols[4], map_bytes, map;
};
struct multiboot_entry {
	u32 size;
	u64 from, n;
	u32 kind;
} __attribute__((packed));

static void add(struct boot *boot, u64 from, u64 n, u32 kind)
{
	if (kind != 1 || boot->n_ram == 32)
		return;
	boot->ram[boot->n_ram].from = from;
	boot->ram[boot->n_ram++].to = from + n;
}

static u64 find_rsdp(void)
{
	for (u64 at = 0xE0000; at < 0x100000; at += 16)
		if (*(u64 *)direct(at) == 0x2052545020445352) /* "RSD PTR " */
			return at;
	return 0;
}

void boot_read(struct boot *boot, u32 magic, u32 info)
{
	if (magic == MULTIBOOT_MAGIC) {
		struct multiboot *mb = direct(info);
		u32 *modules = direct(mb->modules);
		if (!(mb->flags & 64) || !(mb->flags & 8) || !mb->n_modules)
			panic("no memory map, or no module");
		for (u64 at = mb->map; at < mb->map + mb->map_bytes;) {
			struct multiboot_entry *entry = direct(at);
			add(boot, entry->from, entry->n, entry->kind);
			at += entry->size + 4;
		}
		boot->module = modules[0];
		boot->module_end = modules[1];
	} else {
		struct pvh *pvh = direct(info);
		if (pvh->magic != PVH_MAGIC || pvh->version < 1 || !pvh->n_modules)
			panic("not PVH, or no module");
		struct pvh_entry *map = direct(pvh->map);
		for (u32 i = 0; i < pvh->n_map; i++)
			add(boot, map[i].from, map[i].size, map[i].kind);
		u64 *module = direct(pvh->modules);
		boot->module = module[0];
		boot->module_end = module[0] + module[1];
		boot->rsdp = pvh->rsdp;
	}
	if (!boot->rsdp)
		boot->rsdp = find_rsdp();
}
