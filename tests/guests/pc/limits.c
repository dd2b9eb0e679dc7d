/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The limits and types of 32-bit segments: what a load or store beyond them raises. */
#include "user.h"

enum { DATA_AT_BASE = 0x0f, CODE_AT_BASE = 0x17, STACK = 0x1f, DOWN = 0x27, READ_ONLY = 0x2f };

static uint64_t local_table[8];
uint8_t data[2 * 4096] __attribute__((aligned(4096)));

static void data_segments(void)
{
    USER32("the last bytes", "mov $0x0f, %%eax; mov %%eax, %%fs; mov %%fs:0xfc, %%ecx");
    USER32("beyond the limit by one", "mov $0x0f, %%eax; mov %%eax, %%fs; mov %%fs:0xfd, %%ecx");
    USER32("a byte beyond the limit", "mov $0x0f, %%eax; mov %%eax, %%fs; movb $1, %%fs:0x100");
    USER32("by DS", "mov $0x0f, %%eax; mov %%eax, %%ds; mov 0x100, %%al");
    USER32("by ES, REP STOSB up to the limit",
           "mov $0x0f, %%eax; mov %%eax, %%es; mov $0xf0, %%edi; mov $0x20, %%ecx; mov $0x99, %%al; rep stosb");
    show("  the last one", data[16 + 0xff]);
    show("  the one behind it", data[16 + 0x100]);
    USER32("by GS, beyond", "mov $0x0f, %%eax; mov %%eax, %%gs; incb %%gs:0x1000");
    USER32("a write to a read-only segment", "mov $0x2f, %%eax; mov %%eax, %%fs; movb $1, %%fs:0");
    USER32("a read of it", "mov $0x2f, %%eax; mov %%eax, %%fs; movb %%fs:0, %%al");
    USER32("expand-down, below its limit", "mov $0x27, %%eax; mov %%eax, %%fs; movb %%fs:0xfff, %%al");
    USER32("expand-down, above its limit", "mov $0x27, %%eax; mov %%eax, %%fs; movb %%fs:0x1000, %%al");
    USER32("a null segment", "xor %%eax, %%eax; mov %%eax, %%fs; movb %%fs:0, %%al");
    USER32("a write by CS", "movb $1, %%cs:data");
    USER32("a read by CS", "movb %%cs:data, %%al");
    USER32("LEA knows no limit", "mov $0x0f, %%eax; mov %%eax, %%fs; lea %%fs:0x1000, %%eax; mov %%eax, result");
    show("  it", result);
}

static void stacks(void)
{
    USER32("a stack beyond its limit", "mov $0x1f, %%eax; mov %%eax, %%ss; mov $0x1004, %%esp; push $1");
    USER32("a pop beyond it", "mov $0x1f, %%eax; mov %%eax, %%ss; mov $0x1000, %%esp; pop %%eax");
    USER32("by EBP beyond it", "mov $0x1f, %%eax; mov %%eax, %%ss; mov $0x1000, %%ebp; mov (%%ebp), %%eax");
    USER32("by ESP within it", "mov $0x1f, %%eax; mov %%eax, %%ss; mov $0xf00, %%esp; mov 4(%%esp), %%eax");
}

static void code(void)
{
    data[0x800 + 0xff] = 0x90;
    data[0x800 + 0x100] = 0xcd; /* int $0x80, where no code should come to */
    data[0x800 + 0x101] = 0x80;
    USER32("a jump beyond the limit of code", "ljmp $0x17, $0x100");
#ifdef __x86_64__
    user_cs = USER_CODE32;
    RUN_USER(".code32; ljmp $0x17, $0xff; .code64");
    user_cs = USER_CODE;
#else
    RUN_USER("ljmp $0x17, $0xff");
#endif
    show("code that runs over its limit: exceptions", trap.count);
    if (trap.count) {
        show("  vector", trap.vector);
        show("  error", trap.error);
        show("  CS in the frame", trap.cs);
        show("  IP in the frame", trap.ip);
    }
}

int main(void)
{
    user_set_up();
    uint32_t base = (uint32_t)(word)data;
    set_local(local_table, DATA_AT_BASE, base + 16, 0xff, 0xf2, 4);
    set_local(local_table, CODE_AT_BASE, base + 0x800, 0xff, 0xfa, 4);
    set_local(local_table, STACK, base, 0xfff, 0xf2, 4);
    set_local(local_table, DOWN, base, 0xfff, 0xf6, 4);
    set_local(local_table, READ_ONLY, base, 0xfff, 0xf0, 4);
    use_local(local_table, sizeof local_table);
    data_segments();
    stacks();
    code();
    return 0;
}
