/* SPDX-License-Identifier: GPL-2.0-or-later */
/* XSAVE with x87 and SSE: who may switch it on, what XCR0 takes, and what an area holds (SDM 1, chapter 13). */
#include "pc.h"
#include "user.h"

enum { OSFXSR = 0x600, OSXSAVE = 1 << 18, TS = 8 };

static struct area {
    uint8_t legacy[512];
    uint64_t xstate_bv, xcomp_bv, reserved[6];
} __attribute__((aligned(64))) area;

static void show_cpuid(const char *name, uint32_t leaf, uint32_t subleaf)
{
    uint32_t a = leaf, b, c = subleaf, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    print(name);
    print(": ");
    print_hex(a);
    print(" ");
    print_hex(b);
    print(" ");
    print_hex(c);
    print(" ");
    print_hex(d);
    print("\n");
}

static void show_offer(const char *name)
{
    uint32_t a = 1, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    show(name, c >> 26 & 3);
}

static uint64_t xgetbv(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

#define XSETBV(name, index, value) \
    TRY(name, "mov %1, %%rax; mov %%rax, %%rdx; shr $32, %%rdx; xsetbv", "c"(index), "r"((uint64_t)(value)))

static uint64_t xmm_in_area(void)
{
    uint64_t low;
    __builtin_memcpy(&low, area.legacy + 160, sizeof low);
    return low;
}

static void save_and_restore(void)
{
    uint64_t marker = 0x1122334455667788, seen;
    __asm__ volatile("movq %0, %%xmm0" : : "r"(marker));
    TRY("XSAVE", "mov $3, %%eax; xor %%edx, %%edx; xsave area");
    show("XSTATE_BV", area.xstate_bv);
    show("XMM0 in the area", xmm_in_area());
    __asm__ volatile("pxor %xmm0, %xmm0");
    TRY("XRSTOR of x87 alone", "mov $1, %%eax; xor %%edx, %%edx; xrstor area");
    __asm__ volatile("movq %%xmm0, %0" : "=r"(seen));
    show("XMM0", seen);
    TRY("XRSTOR", "mov $3, %%eax; xor %%edx, %%edx; xrstor area");
    __asm__ volatile("movq %%xmm0, %0" : "=r"(seen));
    show("XMM0", seen);
    area.legacy[160] = 0;
    TRY("XSAVEOPT of SSE", "mov $2, %%eax; xor %%edx, %%edx; xsaveopt area");
    show("XMM0 in the area", xmm_in_area());
    area.xstate_bv = 4;
    TRY("XRSTOR of what is not enabled", "mov $3, %%eax; xor %%edx, %%edx; xrstor area");
    area.xstate_bv = 3;
    TRY("XSAVE at an odd place", "mov $3, %%eax; xor %%edx, %%edx; xsave area + 8");
    write_cr0(read_cr0() | TS);
    TRY("XSAVE with TS", "mov $3, %%eax; xor %%edx, %%edx; xsave area");
    TRY("XRSTOR with TS", "mov $3, %%eax; xor %%edx, %%edx; rex64 xrstor area");
    TRY("UD2 with TS", "ud2");
    show("XGETBV with TS", xgetbv());
    write_cr0(read_cr0() & ~(word)TS);
}

int main(void)
{
    write_cr4(read_cr4() | OSFXSR);
    show_offer("OSXSAVE and XSAVE");
    TRY("XGETBV without OSXSAVE", "xgetbv", "c"(0));
    XSETBV("XSETBV without OSXSAVE", 0, 1);
    TRY("XSAVE without OSXSAVE", "xsave area");
    write_cr4(read_cr4() | OSXSAVE);
    show_offer("OSXSAVE and XSAVE");
    show("XCR0", xgetbv());
    XSETBV("XCR0: nothing", 0, 0);
    XSETBV("XCR0: SSE alone", 0, 2);
    XSETBV("XCR0: a state that is not there", 0, 1ull << 40 | 3);
    XSETBV("XCR1", 1, 3);
    show("XCR0", xgetbv());
    XSETBV("XCR0: x87 and SSE", 0, 3);
    show("XCR0", xgetbv());
    show_cpuid("leaf 0xd", 0xd, 0);
    show_cpuid("its sub-leaf 1", 0xd, 1);
    show_cpuid("its sub-leaf 2", 0xd, 2);
    save_and_restore();
    XSETBV("XCR0: x87", 0, 1);
    area.legacy[160] = 0x55;
    TRY("XSAVE of both", "mov $3, %%eax; xor %%edx, %%edx; xsave area");
    show("XMM0 in the area", xmm_in_area());
    user_set_up();
    USER("XGETBV in ring 3", "xgetbv", "c"(0));
    USER("XSETBV in ring 3", "xsetbv", "a"(1), "c"(0), "d"(0));
    write_cr4(read_cr4() & ~(word)OSXSAVE);
    show_offer("OSXSAVE and XSAVE");
    TRY("XSAVE without OSXSAVE", "xsave area");
    return 0;
}
