/* SPDX-License-Identifier: MIT */
/*
 * The GDT of a kernel that has user programs. crt.S has made one with two segments, which is enough until then; the
 * selectors of those two are the same here, so that nothing needs to be loaded again.
 */
#include "segments.h"

#define TSS 0x30

struct tss {
    uint32_t reserved;
    uint64_t rsp[3];    /* the stacks of rings 0 to 2 */
    uint64_t unused[8]; /* a reserved word and the interrupt stack table, which no gate names */
    uint64_t reserved_2;
    uint16_t reserved_3;
    uint16_t io_map; /* beyond the limit: ring 3 has no I/O port */
} __attribute__((packed));

static struct tss tss = {.io_map = sizeof tss};

static uint64_t gdt[] = {
    0,
    0x00af9b000000ffff, /* KERNEL_CODE: 64-bit code, DPL 0 */
    0x00cf93000000ffff, /* data, DPL 0 */
    0,                  /* USER_BASE: where a SYSRET to 32-bit code would look */
    0x00cff3000000ffff, /* data, DPL 3 */
    0x00affb000000ffff, /* 64-bit code, DPL 3 */
    0, 0,               /* TSS: 16 bytes; marked as busy by LTR, so the table is writable */
};

void pv_segments_start(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) pointer = {sizeof gdt - 1, (uintptr_t)gdt};
    uint64_t base = (uintptr_t)&tss;

    gdt[TSS / 8] = (sizeof tss - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    gdt[TSS / 8 + 1] = base >> 32;
    __asm__ volatile("lgdt %0; ltr %1" : : "m"(pointer), "r"((uint16_t)TSS) : "memory");
}

void pv_segments_set_stack(uint64_t stack_top)
{
    tss.rsp[0] = stack_top;
}
