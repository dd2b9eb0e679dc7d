/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Far jumps, far calls, far returns and IRET: privilege, bad targets, and that a refused one changes nothing. */
#include "pc.h"

#ifdef __x86_64__
#define W "q"
#define FLAGS 0xa
#else
#define W "l"
#define FLAGS 0xc
#endif

enum { USER_CODE = 0x20, USER_CONFORMING = 0x28, CONFORMING = 0x30, TABLE = 0x38, ABSENT_DATA = 0x40, SMALL = 0x48,
       EMPTY = 0x50, USER_DATA = 0x58 };

struct {
    uint32_t offset;
    uint16_t selector;
} __attribute__((packed)) volatile far_pointer;

static void jump(const char *name, uint16_t selector)
{
    far_pointer.selector = selector;
    print("jump to ");
    TRY(name, "movl $1f, far_pointer; ljmpl *far_pointer; 1:");
    print("call of ");
    TRY(name, "movl $1f, far_pointer; lcalll *far_pointer; 1:");
    __asm__ volatile("push %0; push $1f; lret" W "; 1:" : : "r"((word)CODE) : "memory");
}

extern const char leaf[], leaf_drops[];
__asm__(".text\nleaf: mov $0x1234, %ecx; lret" W "\nleaf_drops: mov $0x5678, %ecx; lret" W " $16\n");

int main(void)
{
    set_segment(USER_CODE, 0, 0xfffff, 0xfa, FLAGS);
    set_segment(USER_CONFORMING, 0, 0xfffff, 0xfe, FLAGS);
    set_segment(CONFORMING, 0, 0xfffff, 0x9e, FLAGS);
    set_segment(TABLE, 0, 0xff, 0x82, 0);
    set_segment(ABSENT_DATA, 0, 0xfffff, 0x12, 0xc);
    set_segment(SMALL, 0, 0xff, 0x9a, 4);
    set_segment(USER_DATA, 0, 0xfffff, 0xf2, 0xc);

    jump("user code", USER_CODE);
    jump("user code with RPL 3", USER_CODE | 3);
    jump("code with RPL 3", OTHER_CODE | 3);
    jump("conforming user code", USER_CONFORMING);
    jump("conforming code with RPL 3", CONFORMING | 3);
    jump("a local table", TABLE);
    jump("an empty descriptor", EMPTY);

    word sp, sp_after, result;
#ifdef __x86_64__
#define FAR_CALL "push %4; push %3; rex64 lcall *(%%rsp); add $16, %%rsp; "
#else
#define FAR_CALL "push %4; push %3; lcall *(%%esp); add $8, %%esp; "
#endif
    __asm__ volatile("mov %%" SP ", %0; " FAR_CALL "mov %%" SP ", %1"
                     : "=&r"(sp), "=&r"(sp_after), "=&c"(result) : "r"(leaf), "r"((word)OTHER_CODE) : "memory", "cc");
    show("far call", result);
    show("the stack after it", sp - sp_after);
    __asm__ volatile("mov %%" SP ", %0; push $0; push $0; push $0; push $0; " FAR_CALL "mov %%" SP ", %1; mov %0, %%" SP
                     : "=&r"(sp), "=&r"(sp_after), "=&c"(result)
                     : "r"(leaf_drops), "r"((word)OTHER_CODE) : "memory", "cc");
    show("far call whose return drops 16 bytes", result);
    show("the stack after it", sp - sp_after);

#ifdef __x86_64__
#define IRET(ss, sp, cs) "mov %%rsp, %%rax; push " ss "; push " sp "; push $0x46; push " cs "; push $1f; iretq; 1:"
    TRY("IRET", IRET("$0x10", "%%rax", "$0x18"));
    TRY("IRET with null SS", IRET("$0", "%%rax", "$8") "; mov %%ss, %%eax; push $0x10; pop %%rax; mov %%eax, %%ss");
    TRY("IRET to a data segment", IRET("$0x10", "%%rax", "$0x10"));
    TRY("IRET to null", IRET("$0x10", "%%rax", "$0"));
    TRY("IRET to an address that is not canonical",
        "mov %%rsp, %%rax; push $0x10; push %%rax; push $0x46; push $8; mov $1, %%eax; shl $50, %%rax; push %%rax; iretq");
    TRY("IRET with user SS", IRET("$0x58", "%%rax", "$0x18"));
    show("CS in the frame", trap.cs);
    TRY("IRET with code as SS", IRET("$0x18", "%%rax", "$0x18"));
    show("CS in the frame", trap.cs);
    TRY("IRET with SS beyond the table", IRET("$0x208", "%%rax", "$0x18"));
    show("CS in the frame", trap.cs);
    TRY("IRET with NT", "push $0x4002; popfq; push $0x10; push %%rsp; push $0x46; push $8; push $1f; iretq; 1:");
    __asm__ volatile("push $2; popfq" : : : "cc");
    word flags;
    __asm__ volatile("mov %%rsp, %%rax; push $0x10; push %%rax; push $0xcd7; push $8; push $1f; iretq; 1: pushfq; pop %0; cld"
                     : "=r"(flags) : : "rax", "cc", "memory");
    show("flags by IRET", flags & 0xcd5);
    TRY("16-bit IRET to the low end", "push $0; push $0; iretw");
#else
#define IRET(cs) "push $0x46; push " cs "; push $1f; iret; 1:"
    TRY("IRET", IRET("$0x18"));
    TRY("IRET to a data segment", IRET("$0x10"));
    TRY("IRET to null", IRET("$0"));
    TRY("IRET to an absent segment", IRET("$0x40"));
    TRY("IRET beyond the segment's limit", IRET("$0x48"));
    word flags;
    __asm__ volatile("push $0xcd7; push $8; push $1f; iret; 1: pushf; pop %0; cld" : "=r"(flags) : : "cc", "memory");
    show("flags by IRET", flags & 0xcd5);
    TRY("jump beyond the segment's limit", "ljmp $0x48, $0x100000");
    far_pointer.offset = 0x00100010;
    far_pointer.selector = DATA;
    __asm__ volatile("mov $0, %0; lssl far_pointer, %0" : "=&r"(flags) : : "memory");
    show("LSS", flags);
    __asm__ volatile("push $0x10; pop %%es; push $0x10; pop %%ss; push $0; pop %%fs; push $0x10; pop %%gs; mov %%gs, %0"
                     : "=r"(flags) : : "memory");
    show("POP GS", flags & 0xffff);
    TRY("POP of a bad selector", "push $0x208; pop %%es");
    show("the stack kept", trap.count);
    far_pointer.offset = 0xaaaaaaaa;
    __asm__ volatile("ldsl far_pointer, %0" : "=r"(flags) : : "memory");
    show("LDS", flags);
    __asm__ volatile("lesl far_pointer, %0" : "=r"(flags) : : "memory");
    show("LES", flags);
#endif
    return 0;
}
