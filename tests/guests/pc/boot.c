/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the boot loader says: command line, memory map, modules, by PVH or by Multiboot 1. Addresses that a
 * loader is free to choose are not printed, only what must hold for them.
 */
#include "pc.h"

struct start_info { /* xen/include/public/arch-x86/hvm/start_info.h */
    uint32_t magic, version, flags, n_modules;
    uint64_t modules, cmdline, rsdp, memory_map;
    uint32_t n_ranges, reserved;
};
struct pvh_range {
    uint64_t start, n_bytes;
    uint32_t type, reserved;
};
struct pvh_module {
    uint64_t start, n_bytes, cmdline, reserved;
};

struct multiboot_info { /* Multiboot 0.6.96, 3.3 */
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, n_modules, modules, symbols[4];
    uint32_t mmap_bytes, mmap, drives[2], configuration, loader_name;
};
struct multiboot_range {
    uint32_t size;
    uint64_t start, n_bytes;
    uint32_t type;
} __attribute__((packed));
struct multiboot_module {
    uint32_t start, end, string, reserved;
};

static const void *at(uint64_t address)
{
    return (const void *)(word)address;
}

/* The text behind the first blank: the first word of a Multiboot string is a file's name. */
static const char *behind_blank(const char *text)
{
    while (*text && *text != ' ')
        text++;
    return *text ? text + 1 : text;
}

static void show_text(const char *name, const char *text)
{
    print(name);
    print(": [");
    print(text);
    print("]\n");
}

static uint64_t ram_start, ram_end; /* of the RAM from 1 MiB */

static void show_range(uint64_t start, uint64_t n_bytes, uint32_t type)
{
    if (start >> 32)
        return; /* what is beyond 4 GiB depends on the CPU */
    if (start == 0x100000 && type == 1) {
        ram_start = start;
        ram_end = start + n_bytes;
    }
    print("range ");
    print_hex(start);
    print(" bytes ");
    print_hex(n_bytes);
    show(" type", type);
}

extern const char image_end[];

static void show_module(uint64_t start, uint64_t n_bytes, const char *arguments)
{
    const uint8_t *bytes = at(start);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < n_bytes; i++)
        sum = sum * 31 + bytes[i];
    show("module of", n_bytes);
    show_text("  arguments", arguments);
    show("  hash", sum & 0xffffffff);
    show("  offset in its page", start & 0xfff);
    show("  behind the kernel", start >= (word)image_end);
    show("  in RAM", ram_start <= start && start + n_bytes <= ram_end);
}

static void by_pvh(const struct start_info *info)
{
    show("magic", info->magic);
    show("version", info->version);
    show("flags", info->flags);
    show_text("command line", at(info->cmdline));
    const char *rsdp = at(info->rsdp);
    show("RSDP", rsdp[0] == 'R' && rsdp[7] == ' ' && !(info->rsdp & 15));
    const struct pvh_range *range = at(info->memory_map);
    for (unsigned i = 0; i < info->n_ranges; i++)
        show_range(range[i].start, range[i].n_bytes, range[i].type);
    const struct pvh_module *module = at(info->modules);
    show("modules", info->n_modules);
    for (unsigned i = 0; i < info->n_modules; i++)
        show_module(module[i].start, module[i].n_bytes, module[i].cmdline ? at(module[i].cmdline) : "");
}

static void by_multiboot(const struct multiboot_info *info)
{
    show("flags without the boot device", info->flags & ~2u);
    show("lower memory", info->mem_lower);
    show("upper memory", info->mem_upper);
    show_text("command line", behind_blank(at(info->cmdline)));
    show("the loader has a name", *(const char *)at(info->loader_name) != 0);
    for (uint32_t i = 0; i < info->mmap_bytes;) {
        const struct multiboot_range *range = at(info->mmap + i);
        show_range(range->start, range->n_bytes, range->type);
        i += range->size + 4;
    }
    const struct multiboot_module *module = at(info->modules);
    show("modules", info->n_modules);
    for (unsigned i = 0; i < info->n_modules; i++)
        show_module(module[i].start, module[i].end - module[i].start, behind_blank(at(module[i].string)));
}

int main(void)
{
    show("CR0", read_cr0() & 0x7ffeffff);
    bool is_multiboot = boot_eax == 0x2badb002;
    print(is_multiboot ? "Multiboot\n" : "PVH\n");
    if (is_multiboot)
        by_multiboot(at(boot_ebx));
    else
        by_pvh(at(boot_ebx));
    return 0;
}
