/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Instructions that only 32-bit code has, 16-bit addresses and operands, and code that is changed. */
#include "base.h"

static void decimal(void)
{
    uint32_t value = 0x19;
    __asm__ volatile("add $0x28, %%al; daa" : "+a"(value) : : "cc");
    check((value & 0xff) == 0x47, "daa", value & 0xff, 0x47);
    value = 79;
    __asm__ volatile("aam" : "+a"(value) : : "cc");
    check((value & 0xffff) == 0x0709, "aam", value & 0xffff, 0x0709);
    __asm__ volatile("aad" : "+a"(value) : : "cc");
    check((value & 0xffff) == 79, "aad", value & 0xffff, 79);
    value = 0x0f;
    __asm__ volatile("aaa" : "+a"(value) : : "cc");
    check((value & 0xff0f) == 0x0105, "aaa", value & 0xffff, 0x0105);
}

static void out_of_bounds(void)
{
    static const int32_t bounds[2] = {3, 9};
    __asm__ volatile("bound %0, %1" : : "r"(10), "m"(bounds));
}

static void overflow(void)
{
    __asm__ volatile("mov $0x7fffffff, %%eax; inc %%eax; into" : : : "eax", "cc");
}

static void traps(void)
{
    static const int32_t bounds[2] = {3, 9};
    __asm__ volatile("bound %0, %1" : : "r"(9), "m"(bounds));
    struct trap trap = trap_in(out_of_bounds);
    check(trap.signal == SIGSEGV && trap.frame.vector == 5, "bound", trap.frame.vector, 5);
    trap = trap_in(overflow);
    check(trap.signal == SIGSEGV && trap.frame.vector == 4, "into", trap.frame.vector, 4);
}

static void stack_forms(void)
{
    uint32_t sum, flags;
    __asm__ volatile("mov $1, %%eax; mov $2, %%ecx; mov $3, %%edx; pusha; xor %%eax, %%eax; xor %%ecx, %%ecx\n"
                     "xor %%edx, %%edx; popa; lea (%%eax,%%ecx), %0; add %%edx, %0"
                     : "=&S"(sum) : : "eax", "ecx", "edx", "memory", "cc");
    check(sum == 6, "pusha", sum, 6);
    __asm__ volatile("push %%ds; push %%es; pop %%ds; pop %%es; pushfw; popfw; pushf; pop %0" : "=r"(flags) : : "memory");
    check((flags & 0x3202) == 0x202, "flags", flags & 0x3202, 0x202);
    uint32_t id;
    __asm__ volatile("pushf; xorl $0x200000, (%%esp); popf; pushf; pop %0" : "=r"(id) : : "memory", "cc");
    check((id ^ flags) & 0x200000, "cpuid_flag", id & 0x200000, 0x200000);
}

static void short_addresses(void)
{
    uint32_t result;
    /* lea 0x10(%bx,%si), %eax with a 16-bit address wraps at 64 KiB */
    __asm__ volatile("push %%ebx; mov $0xfff0, %%ebx; mov $0x0100, %%esi; .byte 0x67, 0x8d, 0x40, 0x10; pop %%ebx"
                     : "=a"(result) : : "esi");
    check(result == 0x100, "short_address", result, 0x100);
}

static void changed_code(void)
{
    unsigned char *code = map_pages(2, PROT_READ | PROT_WRITE | PROT_EXEC);
    unsigned n_wrong = 0;
    code[4094] = 0xb8;
    code[4099] = 0xc3;
    for (uint32_t i = 0; i < 2000; i++) {
        uint32_t number = i * 0x01010101u;
        for (unsigned j = 0; j < 4; j++)
            code[4095 + j] = (unsigned char)(number >> 8 * j);
        n_wrong += ((uint32_t (*)(void))(code + 4094))() != number;
    }
    check(n_wrong == 0, "changed_code", n_wrong, 0);
}

static void read_port(void)
{
    uint32_t value;
    __asm__ volatile("inb $0x21, %%al" : "=a"(value));
}

static void ports(void)
{
    struct trap trap = trap_in(read_port);
    check(trap.signal == SIGSEGV && trap.frame.vector == 13, "port_refused", trap.signal, SIGSEGV);
    if (CALL(SYS_IOPERM, 0x21, 1, 1) != 0) {
        skip("port_allowed", "no ioperm here");
        return;
    }
    trap = trap_in(read_port);
    check(trap.signal == 0, "port_allowed", trap.signal, 0);
    CALL(SYS_IOPERM, 0x21, 1, 0);
}

void check_instructions(void)
{
    decimal();
    traps();
    stack_forms();
    short_addresses();
    changed_code();
    ports();
}
