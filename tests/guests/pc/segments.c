/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Segment registers, far transfers and the system descriptors: what a good and a bad selector do. */
#include "pc.h"

#ifdef __x86_64__
#define W "q"
#define FAR_CODE_FLAGS 0xa
#else
#define W "l"
#define FAR_CODE_FLAGS 0xc
#endif

enum { ABSENT = 0x20, READ_ONLY = 0x28, USER_DATA = 0x30, EXECUTE_ONLY = 0x38, ABSENT_CODE = 0x40, CONFORMING = 0x48,
       TSS = 0x50, TABLE = 0x60, NOT_ACCESSED = 0x70, DATA2 = 0x78, BUSY = 0x90 };

struct {
    uint32_t offset;
    uint16_t selector;
} __attribute__((packed)) volatile far_pointer;
static uint8_t task_state[0x68];
static uint64_t local_table[4];

static void load(const char *name, word selector)
{
    print(name);
    TRY(" into GS", "mov %0, %%gs", "r"(selector));
    print(name);
    TRY(" into SS", "mov %0, %%ss", "r"(selector));
    word gs, ss;
    __asm__ volatile("mov %%gs, %0; mov %%ss, %1" : "=r"(gs), "=r"(ss));
    show("GS", gs & 0xffff);
    show("SS", ss & 0xffff);
    __asm__ volatile("mov %0, %%gs; mov %0, %%ss" : : "r"((word)DATA));
}

static void jump(const char *name, uint16_t selector)
{
    far_pointer.selector = selector;
    print(name);
    TRY(": jump", "movl $1f, far_pointer; ljmpl *far_pointer; 1:");
    print(name);
    TRY(": far return", "push %0; push $1f; lret" W "; 1:", "r"((word)selector));
    word cs;
    __asm__ volatile("mov %%cs, %0" : "=r"(cs));
    show("CS", cs & 0xffff);
    __asm__ volatile("push %0; push $1f; lret" W "; 1:" : : "r"((word)CODE) : "memory");
}

int main(void)
{
    set_segment(ABSENT, 0, 0xfffff, 0x12, 0xc);
    set_segment(READ_ONLY, 0, 0xfffff, 0x90, 0xc);
    set_segment(USER_DATA, 0, 0xfffff, 0xf2, 0xc);
    set_segment(EXECUTE_ONLY, 0, 0xfffff, 0x98, FAR_CODE_FLAGS);
    set_segment(ABSENT_CODE, 0, 0xfffff, 0x1a, FAR_CODE_FLAGS);
    set_segment(CONFORMING, 0, 0xfffff, 0x9e, FAR_CODE_FLAGS);
    set_segment(NOT_ACCESSED, 0, 0xfffff, 0x92, 0xc);
    set_segment(DATA2, 0, 0xfffff, 0x93, 0xc);

    __asm__ volatile("lldt %w0" : : "r"(0));
    load("good", DATA2);
    load("null", 0);
    load("beyond", 0x208);
    load("absent", ABSENT);
    load("read-only", READ_ONLY);
    load("user's", USER_DATA);
    load("user's, RPL 3", USER_DATA | 3);
    load("data with RPL 3", DATA2 | 3);
    load("readable code", CODE);
    load("unreadable code", EXECUTE_ONLY);
    load("in no local table", DATA2 | 4);
    TRY("move to CS", ".byte 0x8e, 0xc8");

    show("accessed before", gdt[NOT_ACCESSED / 8] >> 40 & 1);
    __asm__ volatile("mov %0, %%es" : : "r"((word)NOT_ACCESSED));
    show("accessed after", gdt[NOT_ACCESSED / 8] >> 40 & 1);

    jump("same code", CODE);
    jump("other code", OTHER_CODE);
    jump("execute-only code", EXECUTE_ONLY);
    jump("conforming code", CONFORMING);
    jump("absent code", ABSENT_CODE);
    jump("data", DATA2);
    jump("null", 0);
    jump("beyond", 0x208);

    set_segment(TSS, (uint32_t)(word)task_state, sizeof task_state - 1, 0x89, 0);
    set_segment(BUSY, (uint32_t)(word)task_state, sizeof task_state - 1, 0x8b, 0);
    set_segment(TABLE, (uint32_t)(word)local_table, sizeof local_table - 1, 0x82, 0);
    TRY("LTR of a free TSS", "ltr %%cx", "c"(TSS));
    show("its type", gdt[TSS / 8] >> 40 & 0xff);
    TRY("LTR of a busy TSS", "ltr %%cx", "c"(TSS));
    TRY("LTR of another busy TSS", "ltr %%cx", "c"(BUSY));
    TRY("LTR of a local table", "ltr %%cx", "c"(TABLE));
    TRY("LTR of null", "ltr %%cx", "c"(0));
    TRY("LTR of data", "ltr %%cx", "c"(DATA));
    TRY("LLDT of a TSS", "lldt %%cx", "c"(BUSY));
    TRY("LLDT of null", "lldt %%cx", "c"(0));
    TRY("a selector of the table that is not there", "mov %0, %%es", "r"((word)(0x08 | 4)));
    TRY("LLDT", "lldt %%cx", "c"(TABLE));
    local_table[1] = gdt[DATA / 8];
    TRY("a selector of the local table", "mov %0, %%es", "r"((word)(0x08 | 4)));
    TRY("an empty one of the local table", "mov %0, %%es", "r"((word)(0x10 | 4)));
    TRY("one beyond the local table", "mov %0, %%es", "r"((word)(0x20 | 4)));
    gdt[TABLE / 8] &= ~(1ull << 47);
    TRY("LLDT of an absent table", "lldt %%cx", "c"(TABLE));

    far_pointer.offset = 0x12345678;
    far_pointer.selector = DATA2;
    word offset = 0, fs = 0;
    __asm__ volatile("lfsl far_pointer, %k0; mov %%fs, %1" : "=r"(offset), "=r"(fs));
    show("LFS", offset);
    show("FS", fs & 0xffff);
    return 0;
}
