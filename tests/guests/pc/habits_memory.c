/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How kernels look for memory and firmware, and how they build their address spaces. */
#include "irq.h"

#define PAGE 4096u
enum { P = 1, W = 2, US = 4, PWT = 8, PCD = 16, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
static volatile uint8_t *at(word address)
{
    __asm__("" : "+r"(address));
    return (volatile uint8_t *)address;
}
static volatile uint32_t *at32(word address)
{
    return (volatile uint32_t *)at(address);
}

/* The odd megabyte is not the even one: A20 is open. */
static void a20(void)
{
    volatile uint32_t *low = at32(0x7000), *high = at32(0x107000);
    *low = 0x12345678;
    uint32_t saved = *high;
    *high = 0x87654321;
    show("A20 is open", *low == 0x12345678 && *high == 0x87654321);
    *high = saved;
    outb(0x92, inb(0x92) | 2);
    show("port 0x92", inb(0x92) & 3);
    while (inb(0x64) & 2)
        ;
    outb(0x64, 0xd1);
    while (inb(0x64) & 2)
        ;
    outb(0x60, 0xdf);
    while (inb(0x64) & 2)
        ;
    outb(0x64, 0xff);
    while (inb(0x64) & 2)
        ;
    *low = 1;
    *high = 2;
    show("A20 by the keyboard's controller", *low == 1);
    *high = saved;
}

/* BIOS data area and CMOS as firmware leaves them. */
static void firmware(void)
{
    show("COM1 in the BIOS data area", *(volatile uint16_t *)at(0x400));
    show("base memory, KiB", *(volatile uint16_t *)at(0x413));
    show("EBDA's segment is near it", *(volatile uint16_t *)at(0x40e) >= 0x9000 && *(volatile uint16_t *)at(0x40e) < 0xa000);
    show("CRTC's I/O port", *(volatile uint16_t *)at(0x463) == 0x3d4 || *(volatile uint16_t *)at(0x463) == 0);
    show("CMOS: base memory, KiB", cmos(0x15) | cmos(0x16) << 8);
    show("CMOS: above 1 MiB, KiB", cmos(0x17) | cmos(0x18) << 8);
    show("CMOS: the same", (cmos(0x30) | cmos(0x31) << 8));
    show("CMOS: above 16 MiB, in 64 KiB", cmos(0x34) | cmos(0x35) << 8);
    show("CMOS: century", cmos(0x32));
    show("CMOS: status D", cmos(0x0d) & 0x80);
    show("CMOS with the NMI bit", cmos(0x80 | 0x0d) & 0x80);
    show("CMOS: shutdown byte", cmos(0x0f));
    unsigned rsdp = 0, mp = 0, checksum = 0;
    for (word p = 0xe0000; p < 0x100000; p += 16) {
        volatile uint32_t *w = at32(p);
        if (w[0] == 0x20445352 && w[1] == 0x20525450) {
            rsdp++;
            for (unsigned i = 0; i < 20; i++)
                checksum += at(p)[i];
        }
        mp += w[0] == 0x5f504d5f;
    }
    show("RSDP in 0xe0000-0xfffff", rsdp);
    show("its sum", checksum & 0xff);
    word ebda = (word)*(volatile uint16_t *)at(0x40e) << 4;
    for (word p = ebda; p < ebda + 1024; p += 16)
        mp += *at32(p) == 0x5f504d5f;
    for (word p = 639 * 1024; p < 640 * 1024; p += 16)
        mp += *at32(p) == 0x5f504d5f;
    show("MP", mp >= 1);
}

#ifndef __x86_64__
/* Writes what it finds back, from 1 MiB on in steps of 1 MiB: as kernels do that do not trust the firmware. */
static void memory_probe(void)
{
    word mib = 2; /* the first has the kernel */
    for (; mib < 4096 - 64; mib++) {
        volatile uint32_t *p = at32((mib << 20) + 0xffffc - 0x20000 * (mib == 63));
        uint32_t saved = *p;
        *p = saved ^ 0xffffffff;
        __asm__ volatile("wbinvd" : : : "memory");
        bool is_memory = *p == (saved ^ 0xffffffff);
        *p = saved;
        if (!is_memory)
            break;
    }
    show("MiB by writing and reading", mib);
    show("nothing there", *at32(0x20000000));
    *at32(0x20000000) = 0x5a5a5a5a;
    show("nothing there", *at32(0x20000000));
    uint32_t rom = *at32(0xffff0);
    *at32(0xf8000) = ~*at32(0xf8000);
    show("ROM", *at32(0xffff0) == rom);
}

static uint32_t directory[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096))),
    other[1024] __attribute__((aligned(4096))), high[1024] __attribute__((aligned(4096)));
static uint8_t data[4 * 4096] __attribute__((aligned(4096)));
static volatile word high_eip;

#define SELF ((volatile uint32_t *)0xffc00000)
#define SELF_DIR ((volatile uint32_t *)0xfffff000)

static void reload(void)
{
    write_cr3(read_cr3());
}

/* Two levels: 4 MiB one to one and at 3 GiB, the directory in its own last entry. */
static void self_map(void)
{
    for (unsigned i = 0; i < 1024; i++)
        table[i] = i << 12 | P | W;
    directory[0] = (word)table | P | W;
    directory[768] = (word)table | P | W;
    directory[1023] = (word)directory | P | W;
    write_cr3((word)directory);
    write_cr0(read_cr0() | 0x80000000);
    __asm__ volatile("jmp 1f; 1:");
    show("paging", read_cr0() >> 31);
    show("the kernel at 3 GiB", *at32(0xc0100000) == *at32(0x100000));
    show("the directory in itself", SELF_DIR[1023] & 0xfffff007);
    show("a table in it", SELF[0xb8] & 0xfff);
    show("its accessed bit", SELF[1] >> 5 & 1);
    *at(0x300000) = 1;
    show("A and D of a page", SELF[0x300] & 0x60);
    SELF_DIR[1] = (word)other | P | W;         /* a table by the self map, */
    for (unsigned i = 0; i < 4; i++)
        SELF[1024 + i] = ((word)data + i * PAGE) | P | W; /* and its entries by it, never touched before */
    *at32(0x400000) = 0x11;
    *at32(0x401000) = 0x22;
    show("new pages", *(uint32_t *)data + *(uint32_t *)(data + PAGE));
    SELF[1024] = ((word)data + PAGE) | P | W;
    invlpg(at(0x400000));
    show("remapped", *at32(0x400000));
    SELF[1024] = 0;
    invlpg(at(0x400000));
    TRY("unmapped", "movl 0x400000, %%eax");
    SELF[1024] = (word)data | P;
    TRY("read-only, without WP", "movl $5, 0x400000");
    write_cr0(read_cr0() | 0x10000);
    reload();
    TRY("read-only, with WP", "movl $6, 0x400000");
    SELF_DIR[1] = 0;
    reload();
    TRY("its table by the self map is gone", "movl 0xffc01000, %%eax");
    TRY("beyond", "movl 0xbfffffff, %%eax");
    /* the boot mapping goes, as kernels do when they are in their higher half; ours stays, so one entry only */
    SELF_DIR[2] = 0x800000 | P | W | PS;
    TRY("a large page without PSE", "movl 0x800000, %%eax");
    write_cr4(read_cr4() | 0x10);
    TRY("with PSE", "movl 0x800000, %%eax");
}

/* Another directory, copied from the first; CR3 as a switch. */
static void switches(void)
{
    for (unsigned i = 0; i < 1024; i++)
        high[i] = directory[i];
    high[1023] = (word)high | P | W;
    high[1] = (word)other | P | W;
    SELF_DIR[1] = (word)other | P | W;
    other[0] = (word)data | P | W;
    write_cr3((word)high);
    show("self map of the second", SELF_DIR[1023] >> 12 == (word)high >> 12);
    other[0] = ((word)data + PAGE) | P | W;
    *at32(0x400000) = 0x77;
    write_cr3((word)directory);
    show("seen in both", *at32(0x400000));
    /* global pages: CR4.PGE as a flush of all */
    write_cr4(read_cr4() | 0x80);
    other[1] = (word)data | P | W | G;
    *(uint32_t *)data = 0x99;
    invlpg(at(0x401000));
    show("global", *at32(0x401000));
    other[1] = ((word)data + PAGE) | P | W | G;
    write_cr4(read_cr4() & ~0x80ul);
    write_cr4(read_cr4() | 0x80);
    show("after PGE was off and on", *at32(0x401000));
    other[2] = ((word)data + PAGE) | P | W | PWT | PCD;
    show("uncached", *at32(0x402000));
    /* paging off and on, as kernels do that call the firmware or copy physical pages */
    word cr0 = read_cr0();
    write_cr0(cr0 & 0x7fffffff);
    other[2] = (word)data | P | W;
    uint32_t value = *(volatile uint32_t *)data;
    write_cr0(cr0);
    show("physical", value);
    show("with paging again", *at32(0x402000));
    /* MOV CR0 and a far jump into the higher half */
    __asm__ volatile("ljmp $8, $1f + 0xc0000000; 1: call 2f; 2: pop %%eax; mov %%eax, %0; ljmp $8, $3f; 3:"
                     : "=m"(high_eip) : : "eax", "memory");
    show("EIP at 3 GiB", high_eip >> 30);
    /* a temporary page, hundreds of times, with INVLPG only */
    uint32_t sum = 0;
    for (unsigned i = 0; i < 512; i++) {
        other[3] = (i << 12) + 0x100000;
        other[3] |= P | W;
        invlpg(at(0x403000));
        sum += *at32(0x403000) == *at32(0x100000 + (i << 12));
    }
    show("a temporary page", sum);
    write_cr0(cr0 & 0x7fffffff);
    write_cr3(0);
    show("off", read_cr0() >> 31);
}
#else
extern uint64_t table4[512], table3[512], table2[512];
static uint64_t other3[512] __attribute__((aligned(4096))), other2[512] __attribute__((aligned(4096))),
    other1[512] __attribute__((aligned(4096)));
static uint8_t data[4 * 4096] __attribute__((aligned(4096)));

static void self_map(void)
{
    table4[510] = (word)table4 | P | W; /* recursive */
    volatile uint64_t *self4 = (volatile uint64_t *)(0xffff000000000000 | 510ul << 39 | 510ul << 30 | 510ul << 21 | 510ul << 12);
    volatile uint64_t *self1 = (volatile uint64_t *)(0xffff000000000000 | 510ul << 39);
    show("the root in itself", self4[510] >> 12 == (word)table4 >> 12);
    table4[511] = (word)other3 | P | W;
    other3[510] = (word)table2 | P | W; /* the kernel at -2 GiB */
    show("the kernel at -2 GiB", *(volatile uint32_t *)(0xffffffff80000000 + 0x100000) == *at32(0x100000));
    table4[256] = (word)table3 | P | W; /* all memory at the middle */
    show("memory at the middle", *(volatile uint32_t *)(0xffff800000000000 + 0x100000) == *at32(0x100000));
    self4[1] = (word)other3 | P | W;
    other3[0] = (word)other2 | P | W;
    other2[0] = (word)other1 | P | W;
    word page = 1ul << 39;
    for (unsigned i = 0; i < 4; i++)
        self1[(page >> 12) + i] = ((word)data + i * PAGE) | P | W;
    *at32(page) = 0x11;
    *at32(page + PAGE) = 0x22;
    show("new pages", *(uint32_t *)data + *(uint32_t *)(data + PAGE));
    show("A and D by the self map", self1[page >> 12] & 0x60);
    self1[page >> 12] = ((word)data + PAGE) | P | W;
    invlpg(at(page));
    show("remapped", *at32(page));
    self4[1] = 0;
    write_cr3(read_cr3());
    TRY("unmapped", "movabs 0x8000000000, %%eax");
    write_cr4(read_cr4() | 0x80);
    other2[1] = 0x200000 | P | W | PS | G;
    self4[1] = (word)other3 | P | W;
    show("a global large page", *at32(page + 0x200000) == *at32(0x200000));
    write_cr4(read_cr4() & ~0x80ul);
    write_cr4(read_cr4() | 0x80);
    /* LGDT of a high base, and a far return into high code */
    struct table_register high = {gdt_register.limit, gdt_register.base + 0xffffffff80000000};
    word rip;
    __asm__ volatile("lgdt %1; push $8; mov $1f, %%rax; add $0xffffffff80000000, %%rax; push %%rax; lretq; 1: lea 1b(%%rip), %0;"
                     "push $8; lea 2f(%%rip), %%rax; mov $0x80000000, %%ecx; add %%rcx, %%rax; push %%rax; lretq; 2:" : "=&r"(rip) : "m"(high) : "rax", "rcx", "memory");
    show("RIP at -2 GiB", rip >> 31);
    __asm__ volatile("lgdt %0" : : "m"(gdt_register));
    /* the identity map goes */
    __asm__ volatile("mov $1f, %%rax; add $0xffffffff80000000, %%rax; jmp *%%rax; 1:" : : : "rax");
    uint64_t saved = table4[0];
    word sp_high = 0xffffffff80000000;
    __asm__ volatile("add %1, %%rsp; movq $0, table4(%1); mov %%cr3, %%rax; mov %%rax, %%cr3; push %%rax; pop %%rax; mov %2, table4(%1);"
                     "mov %%cr3, %%rax; mov %%rax, %%cr3; sub %1, %%rsp; mov $1f, %%rax; jmp *%%rax; 1:" : : "r"(0), "r"(sp_high), "r"(saved) : "rax", "memory");
    print("the identity map was gone\n");
}

static void switches(void)
{
    /* Down to 32-bit code and up again, as trampolines do. */
    set_segment(0x28, 0, 0xfffff, 0x9a, 0xc);
    uint32_t sp;
    __asm__ volatile("mov %%rsp, %%rbx; push $0x28; lea 1f(%%rip), %%rax; push %%rax; lretq\n"
                     ".code32; 1: mov $0x10, %%eax; mov %%eax, %%ds; mov %%esp, %%ecx; push %%eax; pop %%eax; mov %%cr4, %%edx; ljmp $8, $2f\n"
                     ".code64; 2: mov %%ecx, %0; mov %%rbx, %%rsp" : "=r"(sp) : : "rax", "rbx", "rcx", "rdx", "memory");
    show("32-bit code and back", sp != 0);
    /* Out of long mode, as kexec does: paging off in 32-bit code, LME off, and all the way back. */
    uint32_t efer;
    __asm__ volatile("mov %%rsp, %%rbx; push $0x28; lea 1f(%%rip), %%rax; push %%rax; lretq\n"
                     ".code32; 1: mov %%cr0, %%eax; and $0x7fffffff, %%eax; mov %%eax, %%cr0\n"
                     "mov $0xc0000080, %%ecx; rdmsr; mov %%eax, %%esi; and $~0x100, %%eax; wrmsr\n"
                     "mov %%cr4, %%eax; and $~0x20, %%eax; mov %%eax, %%cr4; push %%eax; pop %%eax; or $0x20, %%eax; mov %%eax, %%cr4\n"
                     "rdmsr; or $0x100, %%eax; wrmsr; mov %%cr0, %%eax; or $0x80000000, %%eax; mov %%eax, %%cr0; ljmp $8, $2f\n"
                     ".code64; 2: mov %%esi, %0; mov %%rbx, %%rsp" : "=r"(efer) : : "rax", "rbx", "rcx", "rdx", "rsi", "memory");
    show("EFER with paging off", efer & 0xd00);
}

#endif

static uint8_t large[24 << 20] __attribute__((section(".bss.large"), aligned(4096))); /* beyond 16 MiB */

int main(void)
{
    a20();
    firmware();
    word sum = 0, sum2;
    for (word i = 0; i < sizeof large; i += PAGE) {
        sum += large[i];
        large[i] = 1;
    }
    show("a .bss of 24 MiB is zero", sum);
#ifndef __x86_64__
    memory_probe();
#endif
    __asm__ volatile("mov %%" SP ", %0; mov $0x90000, %%" SP "; call 1f; 1: pop %1; push %1; pop %1; mov %0, %%" SP : "=&r"(sum), "=&r"(sum2) : : "memory");
    show("a stack at 0x90000", *(volatile word *)(0x90000 - sizeof(word)) == sum2);
    self_map();
    switches();
    return 0;
}
