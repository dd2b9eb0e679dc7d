/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 32-bit user code under a 64-bit kernel: segments with base and limit, far transfers, FS, GS and SWAPGS. */
#include "user.h"

enum { LOCAL_DATA = 0x0f, LOCAL_CODE = 0x17, LOCAL_STACK = 0x1f, LOCAL_16 = 0x27,
       LOCAL_CODE64 = 0x2f };
enum { FS_BASE = 0xc0000100, GS_BASE, KERNEL_GS_BASE };

static uint64_t local_table[16];
static uint8_t data[2 * 4096] __attribute__((aligned(4096)));

static void exceptions(void)
{
    USER32("nothing", "nop");
    USER32("CS and SS", "mov %%cs, %%eax; mov %%eax, result; mov %%ss, %%eax; mov %%eax, result2");
    show("  CS", result);
    show("  SS", result2);
    USER32("INC in one byte", ".byte 0x31, 0xc0, 0x40; mov %%eax, result");
    show("  it", result);
    USER32("divide", "xor %%edx, %%edx; div %%edx");
    show("  CS in the frame", trap.cs);
    show("  SS in the frame", trap.ss);
    USER32("ud2", "push $1; ud2");
    show("  the stack in the frame", user_sp - trap.sp);
    USER32("CLI", "cli");
    USER32("HLT", "hlt");
    USER32("IN", "in $0x80, %%al");
    USER32("MOV from CR0", "mov %%cr0, %%eax");
    USER32("read of nothing", "mov 0x7ffffff0, %%eax");
    USER32("read above 2 GiB", "mov 0xfffffff0, %%eax");
    USER32("int 0x20", "int $0x20");
    set_gate(4, ENTRY(4), CODE, 0xee, 0);
    USER32("INTO", "mov $0x7f, %%al; inc %%al; into");
    USER32("BOUND", "push $9; push $1; mov $10, %%eax; bound %%eax, (%%esp)");
    USER32("PUSHA, POPA, AAM", "mov $0x1234, %%eax; pusha; mov $0x7b, %%al; aam; movzwl %%ax, %%ecx; "
        "mov %%ecx, result; popa; mov %%eax, result2");
    show("  AAM", result);
    show("  POPA", result2);
    USER("and none of it in 64-bit code", ".byte 0x60");
    USER32("the upper half is gone: a write at ESP - 4", "mov %%esp, %%ecx; push $0x77; mov -4(%%ecx), %%eax; "
        "mov %%eax, result");
    show("  it", result);
    USER32("PUSHF", "pushf; pop result");
    show("  flags", result & 0x3200);
    data[5] = data[6] = 0x77;
    USER32("SIDT stores 6 bytes", "sidt data");
    show("  limit", *(volatile uint16_t *)data);
    show("  the end of the base, and the byte behind it", (word)data[5] << 8 | data[6]);
    result = result2 = 0;
    USER32("STR and SLDT", "str %%eax; mov %%eax, result; sldt %%eax; mov %%eax, result2");
    show("  STR", result);
    show("  SLDT", result2);
}

static void transfers(void)
{
    result = result2 = 0;
    USER32("far jump to 64-bit code and back", "ljmp $0xa3, $1f; .code64; 1: mov %%cs, %%eax; mov $1, %%ecx; "
        "shl $40, %%rcx; "
           "mov %%rcx, result2; push $0x93; push $2f; rex64 lret; .code32; 2: mov %%eax, result");
    show("  CS there", result);
    show("  64 bits", result2);
    USER("far return to 32-bit code, far call of 64-bit code",
         "push $0x93; push $1f; rex64 lret; .code32; 1: xor %%ebx, %%ebx; lcall $0xa3, $2f; mov %%cs, %%eax; "
         "mov %%eax, result; int $0x80; "
         ".code64; 2: mov %%cs, %%ecx; mov %%rcx, result2; lretl");
    show("  CS of the caller", result);
    show("  CS of the called", result2);
    USER("IRET to 32-bit code", "mov %%rsp, %%rax; push $0x9b; push %%rax; push $2; push $0x93; push $1f; iretq; "
         ".code32; 1: mov %%cs, %%eax; mov %%eax, result; int $0x80; .code64");
    show("  CS", result);
    USER32("IRET in 32-bit code to 64-bit code", "pushf; push $0xa3; push $1f; iret; .code64; "
        "1: mov %%cs, %%eax; mov %%rax, result; int $0x80; .code32");
    show("  CS", result);
    USER32("far jump to the kernel's code", "ljmp $0x08, $0");
    USER32("far jump to data", "ljmp $0x9b, $0");
    USER32("far jump to null", "ljmp $0, $0");
    USER32("far jump beyond the table", "ljmp $0x20b, $0");
    USER32("IRET to ring 0", "pushf; push $8; push $0; iret");
}

static void segments(void)
{
    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    uint32_t base = (uint32_t)(word)data;
    set_local(local_table, LOCAL_DATA, base + 16, 0xff, 0xf2, 4);
    set_local(local_table, LOCAL_STACK, base, 0xfff, 0xf2, 4);
    set_local(local_table, LOCAL_CODE, base + 0x800, 0xff, 0xfa, 4);
    set_local(local_table, LOCAL_16, base, 0xfff, 0xfa, 0);
    set_local(local_table, LOCAL_CODE64, 0, 0xfffff, 0xfa, 0xa);
    use_local(local_table, sizeof local_table);
    USER32("DS with a base", "mov $0x0f, %%eax; mov %%eax, %%ds; mov 2, %%ecx; mov $0x9b, %%eax; "
        "mov %%eax, %%ds; mov %%ecx, result");
    show("  it", result);
    USER32("a write within", "mov $0x0f, %%eax; mov %%eax, %%fs; movb $0x5a, %%fs:0x10");
    show("  it came", data[32]);
    USER32("a stack within its limit", "mov $0x1f, %%eax; mov %%eax, %%ss; mov $0x100, %%esp; "
        "push $0x12345678; pop result");
    show("  it", result);
    USER32("ud2 on such a stack", "mov $0x1f, %%eax; mov %%eax, %%ss; mov $0x80, %%esp; ud2");
    show("  SS in the frame", trap.ss);
    show("  SP in the frame", trap.sp);
    /* 32-bit code at a base: mov $0x1234, %eax; mov %eax, %fs:...; then on to the flat code. */
    static const uint8_t code[] = {0xb8, 0x34, 0x12, 0, 0, 0xcb};
    for (unsigned i = 0; i < sizeof code; i++)
        data[0x800 + i] = code[i];
    USER32("a far call of code at a base", "lcall $0x17, $0; mov %%eax, result");
    show("  it", result);
    USER32("a far jump beyond the limit of code", "ljmp $0x17, $0x100");
    static const uint8_t code16[] = {0xb8, 0x34, 0x12, 0x66, 0xcb};
    for (unsigned i = 0; i < sizeof code16; i++)
        data[i] = code16[i];
    USER32("a far call of 16-bit code", "mov $0x77770000, %%eax; lcall $0x27, $0; mov %%eax, result");
    show("  it", result);
    USER32("to 64-bit code of the local table", "ljmp $0x2f, $1f; .code64; 1: mov %%cs, %%eax; "
        "mov %%rax, result; int $0x80; .code32");
    show("  CS", result);
    /* 64-bit code has no limits and no bases but those of FS and GS. */
    USER("64-bit code with such a DS", "mov $0x0f, %%eax; mov %%eax, %%ds; movb $1, data + 0x1000; "
        "mov %%ds, %%eax; mov %%rax, result");
    show("  DS", result);
    USER("64-bit code with such an FS", "mov $0x0f, %%eax; mov %%eax, %%fs; movzbl %%fs:0x200, %%eax; "
        "mov %%rax, result");
    show("  its base counts, its limit does not", result == data[0x210]);
}

static void bases(void)
{
    uint64_t base = (word)data;
    for (unsigned i = 0; i < 64; i++)
        data[i] = (uint8_t)i;
    __asm__ volatile("mov %0, %%fs; mov %0, %%gs" : : "r"(0));
    wrmsr(FS_BASE, base);
    wrmsr(GS_BASE, base + 16);
    wrmsr(KERNEL_GS_BASE, base + 32);
    USER("FS and GS by MSR, in ring 3", "movzbl %%fs:1, %%eax; mov %%rax, result; movzbl %%gs:1, %%eax; "
        "mov %%rax, result2");
    show("  FS", result);
    show("  GS", result2);
    __asm__ volatile("swapgs; movzbl %%gs:1, %k0" : "=r"(base));
    show("SWAPGS in ring 0", base);
    USER("GS in ring 3 after it", "movzbl %%gs:1, %%eax; mov %%rax, result");
    show("  GS", result);
    show("MSR of GS", rdmsr(GS_BASE) - (word)data);
    show("MSR of the other", rdmsr(KERNEL_GS_BASE) - (word)data);
    USER("SWAPGS in ring 3", "swapgs");
    __asm__ volatile("swapgs");
    show("MSR of GS", rdmsr(GS_BASE) - (word)data);
    USER("a flat segment into GS", "mov $0x9b, %%eax; mov %%eax, %%gs");
    show("  MSR of GS", rdmsr(GS_BASE));
    show("  MSR of the other is kept", rdmsr(KERNEL_GS_BASE) - (word)data);
    USER("a local segment into FS", "mov $0x0f, %%eax; mov %%eax, %%fs");
    show("  MSR of FS", rdmsr(FS_BASE) - (word)data);
    wrmsr(FS_BASE, (word)data + 48);
    USER("FS by MSR over that", "movzbl %%fs:1, %%eax; mov %%rax, result; mov %%fs, %%eax; mov %%rax, result2");
    show("  it", result);
    show("  FS", result2);
    wrmsr(GS_BASE, 0xffff800000000000);
    USER("GS in the kernel's half", "movb %%gs:0, %%al");
    wrmsr(GS_BASE, 0xfffffffffffffff0);
    USER("GS that wraps", "mov $data + 17, %%eax; movzbl %%gs:(%%rax), %%eax; mov %%rax, result");
    show("  it", result);
    wrmsr(FS_BASE, (word)data);
    USER32("FS by MSR in 32-bit code", "movzbl %%fs:5, %%eax; mov %%eax, result");
    show("  it", result);
}

int main(void)
{
    user_set_up();
    exceptions();
    transfers();
    segments();
    bases();
    return 0;
}
