/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LAR, LSL, VERR and VERW: what each kind of descriptor gives to ring 0 and to ring 3. */
#include "user.h"

#ifdef __x86_64__
#define FAR_CODE_FLAGS 0xa
#else
#define FAR_CODE_FLAGS 0xc
#endif

enum { KERNEL_CODE = 0x20, EXECUTE_ONLY = 0x28, CONFORMING = 0x30, ABSENT_CODE = 0x38, KERNEL_DATA = 0x40,
       READ_ONLY = 0x48, USER_READ_ONLY = 0x50, EXPAND_DOWN = 0x58, SMALL = 0x60, BASED = 0x68, MIDDLE = 0x70,
       ABSENT_DATA = 0x78, USER_EXECUTE_ONLY = 0xe0, SYSTEM = 0x100, EMPTY = 0x120, BEYOND = 0x208 };

#define QUERY                                                                                         \
    "mov selector, %%edx; xor %%eax, %%eax; lar %%edx, %%eax; setz found; mov %%" AX ", rights; "     \
    "mov $0x5a5a5a5a, %%eax; lsl %%edx, %%eax; setz found + 1; mov %%" AX ", limit; "                 \
    "verr %%dx; setz found + 2; verw selector; setz found + 3"

volatile uint8_t found[4];
volatile word rights, limit;
volatile uint32_t selector;

static void tell(const char *name, const char *ring)
{
    if (trap.count)
        report(name);
    print(name);
    print(ring);
    print(":");
    if (found[0]) {
        print(" rights ");
        print_hex(rights & 0xf0ff00);
    }
    if (found[1]) {
        print(" limit ");
        print_hex(limit);
    } else if (limit != 0x5a5a5a5a) {
        print(" (LSL changed its register)");
    }
    print(found[2] ? " readable" : "");
    print(found[3] ? " writable" : "");
    print(*(volatile uint32_t *)found ? "\n" : " nothing\n");
}

static void query(const char *name, uint16_t which)
{
    selector = which;
    trap.count = 0;
    __asm__ volatile("mov" S " $8f, try_begin; mov" S " $9f, try_resume; mov %%" SP ", try_sp; 8: " QUERY "; "
        "9: mov try_sp, %%" SP
                     : : : "eax", "edx", "memory", "cc");
    tell(name, ", ring 0");
    RUN_USER(QUERY);
    tell(name, ", ring 3");
}

static void kinds(void)
{
    set_segment(KERNEL_CODE, 0, 0xfffff, 0x9a, FAR_CODE_FLAGS);
    set_segment(EXECUTE_ONLY, 0, 0xfffff, 0x98, FAR_CODE_FLAGS);
    set_segment(CONFORMING, 0, 0xfffff, 0x9e, FAR_CODE_FLAGS);
    set_segment(ABSENT_CODE, 0, 0xfffff, 0x7a, FAR_CODE_FLAGS);
    set_segment(KERNEL_DATA, 0, 0xfffff, 0x92, 0xc);
    set_segment(READ_ONLY, 0, 0xfffff, 0x90, 0xc);
    set_segment(USER_READ_ONLY, 0, 0xfffff, 0xf0, 0xc);
    set_segment(EXPAND_DOWN, 0, 0x12345, 0xf6, 0x4);
    set_segment(SMALL, 0, 0x0, 0xf2, 0x0);
    set_segment(BASED, 0x12345678, 0xabcde, 0xf3, 0x5);
    set_segment(MIDDLE, 0, 0x12, 0xd2, 0xc);
    set_segment(ABSENT_DATA, 0, 0xfffff, 0x72, 0xc);
    set_segment(USER_EXECUTE_ONLY, 0, 0xfffff, 0xf8, FAR_CODE_FLAGS);
    query("null", 0);
    query("null with RPL 3", 3);
    query("kernel code", KERNEL_CODE);
    query("kernel code with RPL 3", KERNEL_CODE | 3);
    query("kernel code in use", CODE);
    query("execute-only code", EXECUTE_ONLY);
    query("execute-only user code", USER_EXECUTE_ONLY | 3);
    query("conforming code", CONFORMING);
    query("conforming code with RPL 3", CONFORMING | 3);
    query("absent user code", ABSENT_CODE | 3);
    query("kernel data", KERNEL_DATA);
    query("kernel data with RPL 1", KERNEL_DATA | 1);
    query("read-only kernel data", READ_ONLY);
    query("user data", USER_DATA);
    query("user data with RPL 0", USER_DATA & ~3u);
    query("user code", USER_CODE);
    query("32-bit user code", USER_CODE32);
    query("read-only user data", USER_READ_ONLY | 3);
    query("user data, expanding down", EXPAND_DOWN | 3);
    query("user data of one byte", SMALL | 3);
    query("user data with a base", BASED | 3);
    query("data of ring 2", MIDDLE | 2);
    query("absent user data", ABSENT_DATA | 3);
    query("an empty descriptor", EMPTY);
    query("beyond the table", BEYOND);
    query("the highest selector", 0xfff8);
}

static void system_descriptors(void)
{
    static const char *const names[16] = {
        "system type 0", "system type 1: 16-bit TSS", "system type 2: local table",
            "system type 3: busy 16-bit TSS",
        "system type 4: 16-bit call gate", "system type 5: task gate", "system type 6: 16-bit interrupt gate",
        "system type 7: 16-bit trap gate", "system type 8", "system type 9: TSS", "system type 10",
        "system type 11: busy TSS", "system type 12: call gate", "system type 13", "system type 14: interrupt gate",
        "system type 15: trap gate"};
    for (unsigned type = 0; type < 16; type++) {
        set_segment(SYSTEM, 0, 0x2345, (uint8_t)(0xe0 | type), 0);
        gdt[SYSTEM / 8 + 1] = 0;
        query(names[type], SYSTEM | 3);
    }
    query("the TSS in use", TSS);
    set_segment(SYSTEM, 0, 0x2345, 0x62, 0);
    query("an absent local table", SYSTEM | 3);
    static uint64_t local_table[4];
    set_segment(TABLE, (uint32_t)(word)local_table, sizeof local_table - 1, 0x82, 0);
    local_table[1] = gdt[USER_DATA / 8];
    local_table[2] = gdt[KERNEL_CODE / 8];
    __asm__ volatile("lldt %w0" : : "r"(0));
    query("of the local table when there is none", 0x0f);
    __asm__ volatile("lldt %w0" : : "r"(TABLE));
    query("user data of the local table", 0x0f);
    query("the first of the local table", 0x04);
    query("kernel code of the local table", 0x14);
    query("beyond the local table", 0x24);
    set_segment(BASED, 0, 0x7, 0xf2, 0xc);
    query("a descriptor that was changed", BASED | 3);
}

#define SHORT_FORMS                                                                                   \
    "mov $0x9b, %%edx; mov $0x12345678, %%eax; lar %%dx, %%ax; mov %%" AX ", result; "                \
    "mov $0x12345678, %%eax; lsl %%dx, %%ax; mov %%" AX ", result2"

int main(void)
{
    user_set_up();
    kinds();
    system_descriptors();
    TRY("16-bit forms", SHORT_FORMS);
    show("LAR", result);
    show("LSL", result2);
    USER("16-bit forms in ring 3", SHORT_FORMS);
    show("LAR", result);
    show("LSL", result2);
    selector = USER_DATA;
    TRY("memory operands", "lar selector, %%eax; mov %%" AX ", result; lsl selector, %%eax; mov %%" AX ", result2");
    show("LAR", result & 0xf0ff00);
    show("LSL", result2);
    USER("memory operands in ring 3", "lar selector, %%eax; mov %%" AX ", result; lsl selector, %%eax; "
        "mov %%" AX ", result2");
    show("LAR", result & 0xf0ff00);
    show("LSL", result2);
    USER("from the kernel's TSS descriptor", "mov $0xb0, %%edx; xor %%eax, %%eax; lar %%edx, %%eax; "
        "mov %%" AX ", result");
    show("LAR", result);
    return 0;
}
