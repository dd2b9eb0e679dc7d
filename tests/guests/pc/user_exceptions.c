/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Exceptions and INT n in ring 3: vector, error code, CR2, the stack that the TSS names, and the gates' DPL. */
#include "user.h"

#define ABSENT (64 * 8 - 8)

static void frame_facts(void)
{
    show("  CS", trap.cs & 0xffff);
    show("  SS", trap.ss);
    show("  below the top of the stack", user_sp - trap.sp);
}

#ifdef __x86_64__
extern uint64_t table3[512];
static uint64_t directory[512] __attribute__((aligned(4096))), table[512] __attribute__((aligned(4096)));
static uint8_t spare_stack[4096] __attribute__((aligned(16)));

/* Where the frame of the last interrupt began. */
static volatile word hook_sp;
static void hook(struct frame *frame)
{
    hook_sp = (word)(&frame->ss + 1);
    back_to_kernel(frame);
}

static bool within(word at, const uint8_t *stack, word size)
{
    return at - (word)stack <= size;
}

static void pages(void)
{
    USER("read of nothing", "mov 0x40000000, %%al");
    USER("write to nothing", "movb $1, 0x40000001");
    USER("jump to nothing", "mov $0x40000000, %%eax; jmp *%%rax");
    table3[1] = (word)directory | 7;
    directory[0] = (word)table | 7;
    table[0] = (word)spare_stack | 3;
    table[1] = (word)spare_stack | 5;
    write_cr3(read_cr3());
    USER("read of the kernel's page", "mov 0x40000000, %%al");
    USER("write to the kernel's page", "movb $1, 0x40000008");
    USER("jump into the kernel's page", "mov $0x40000010, %%eax; jmp *%%rax");
    USER("write to a read-only page", "movb $1, 0x40001000");
    USER("read of a read-only page", "mov 0x40001000, %%al");
    USER("push with a stack that is not there", "mov $0x40003000, %%esp; push %%rax");
    USER("read of an address that is not canonical", "mov $1, %%eax; shl $47, %%rax; mov (%%rax), %%eax");
    USER("push to an address that is not canonical", "mov $1, %%eax; shl $47, %%rax; lea 8(%%rax), %%rsp; "
        "push %%rax");
    USER("ud2 with a stack that is not there", "mov $0x40003000, %%esp; ud2");
    show("  SP in the frame", trap.sp);
    USER("ud2 with a stack that is not canonical", "mov $1, %%eax; shl $47, %%rax; mov %%rax, %%rsp; ud2");
    show("  SP in the frame", trap.sp);
}

static void stacks(void)
{
    on_interrupt = hook;
    set_gate(0x30, ENTRY(0x30), CODE, 0xee, 0);
    RUN_USER("int $0x30");
    show("the frame is on RSP0", within(hook_sp, ring0_stack, sizeof ring0_stack));
    task_state.ist[2] = (word)spare_stack + sizeof spare_stack;
    set_gate(0x30, ENTRY(0x30), CODE, 0xee, 3);
    RUN_USER("int $0x30");
    show("the frame is on IST3", within(hook_sp, spare_stack, sizeof spare_stack));
    task_state.sp0 = (word)spare_stack + sizeof spare_stack - 1000;
    set_gate(0x30, ENTRY(0x30), CODE, 0xee, 0);
    RUN_USER("int $0x30");
    show("the frame is on the new RSP0, aligned to 16 bytes",
        (word)spare_stack + sizeof spare_stack - 1000 - hook_sp);
    task_state.sp0 = (word)ring0_stack + sizeof ring0_stack;
    on_interrupt = 0;
    set_gate(8, ENTRY(8), CODE, 0x8e, 3);
    task_state.sp0 = 0x40003000;
    USER("ud2 when RSP0 is not there", "ud2");
    show("  SP in the frame is the user's", trap.sp == user_sp);
    task_state.sp0 = 1ul << 47;
    USER("ud2 when RSP0 is not canonical", "ud2");
    task_state.sp0 = (word)ring0_stack + sizeof ring0_stack;
    set_gate(8, ENTRY(8), CODE, 0x8e, 0);
}
#else
static void stacks(void)
{
    task_state.ss0 = 0;
    RUN_USER("int $0x30");
    show("null as SS0: error of #TS", result);
    task_state.ss0 = USER_DATA;
    RUN_USER("int $0x30");
    show("a user segment as SS0", result);
    task_state.ss0 = DATA | 3;
    RUN_USER("int $0x30");
    show("RPL 3 in SS0", result);
    task_state.ss0 = CODE;
    RUN_USER("int $0x30");
    show("code as SS0", result);
    task_state.ss0 = 0x208;
    RUN_USER("int $0x30");
    show("SS0 beyond the table", result);
}
#endif

/* A handler in ring 3: a gate may lead there from ring 3, and then the stack stays. */
extern const char user_handler[];
#ifdef __x86_64__
__asm__(".text; user_handler: pop result; mov %rsp, result2; int $0x80");
#else
__asm__(".text; user_handler: pop result; mov %esp, result2; movl $0x10, task_state + 8; int $0x80");
#endif

static void handlers_in_ring_3(void)
{
    set_gate(13, (word)user_handler, USER_CODE, 0x8e, 0);
    RUN_USER("hlt");
    show("HLT, handled in ring 3: error", result);
    RUN_USER("int $0x20");
    show("int 0x20, handled in ring 3: error", result);
    show("the frame is on the user's stack", user_sp - result2 < 0x40);
    set_gate(13, ENTRY(13), CODE, 0x8e, 0);
#ifndef __x86_64__
    set_gate(10, (word)user_handler, USER_CODE, 0x8e, 0);
    set_gate(0x30, ENTRY(0x30), CODE, 0xee, 0);
    stacks();
    set_gate(10, ENTRY(10), CODE, 0x8e, 0);
#endif
    set_gate(6, ENTRY(6), USER_CODE, 0x8e, 0);
    TRY("ud2 in ring 0 by a gate into ring 3", "ud2");
    set_gate(6, ENTRY(6), CODE, 0x8e, 0);
}

int main(void)
{
    user_set_up();
    USER("nothing at all", "nop");
    USER("divide", "xor %%eax, %%eax; cltd; div %%eax");
    frame_facts();
    USER("ud2", "push %%" AX "; ud2");
    frame_facts();
    USER("int3", "nop; int3");
    USER("int 3 in two bytes", ".byte 0xcd, 3");
    set_gate(3, ENTRY(3), CODE, 0xee, 0);
    USER("int3 by a gate of DPL 3", "nop; int3");
    USER("int 3 in two bytes by it", ".byte 0xcd, 3");
    frame_facts();
#ifndef __x86_64__
    USER("INTO without overflow", "xor %%eax, %%eax; into");
    USER("INTO", "mov $0x7f, %%al; inc %%al; into");
    set_gate(4, ENTRY(4), CODE, 0xee, 0);
    USER("INTO by a gate of DPL 3", "mov $0x7f, %%al; inc %%al; into");
    USER("BOUND within", "push $9; push $1; mov $5, %%eax; bound %%eax, (%%esp)");
    USER("BOUND beyond", "push $9; push $1; mov $10, %%eax; bound %%eax, (%%esp)");
#endif
    USER("int 0", "int $0");
    USER("int 1 in two bytes", ".byte 0xcd, 1");
    USER("int 2", "int $2");
    USER("int 8", "int $8");
    USER("int 13", "int $13");
    USER("int 14", "int $14");
    USER("int 0x20", "int $0x20");
    USER("int 0xff", "int $0xff");
    idt_register.limit = sizeof(word) * 2 * 0x90 - 1;
    __asm__ volatile("lidt idt_register");
    USER("int beyond the table", "int $0xa0");
    use_all_gates();
    set_gate(LEAVE, ENTRY(LEAVE), CODE, 0xee, 0);
    set_gate(0x30, ENTRY(0x30), CODE, 0x6e, 0);
    USER("int by a gate of DPL 3 that is not present", "int $0x30");
    set_gate(0x30, ENTRY(0x30), CODE, 0x0e, 0);
    USER("int by a gate of DPL 0 that is not present", "int $0x30");
    set_gate(0x30, ENTRY(0x30), 0, 0xee, 0);
    USER("int by a gate into null", "int $0x30");
    set_gate(0x30, ENTRY(0x30), ABSENT, 0xee, 0);
    USER("int by a gate into an empty descriptor", "int $0x30");
    set_gate(0x30, ENTRY(0x30), DATA, 0xee, 0);
    USER("int by a gate into data", "int $0x30");
    set_gate(0x30, ENTRY(0x30), 0x208, 0xee, 0);
    USER("int by a gate into a segment beyond the table", "int $0x30");
    USER("a selector beyond the table", "mov $0x208, %%eax; mov %%eax, %%ds");
    USER("a data segment of ring 0", "mov $0x10, %%eax; mov %%eax, %%es");
    USER("a data segment of ring 0 with RPL 3", "mov $0x13, %%eax; mov %%eax, %%es");
    USER("null into SS", "xor %%eax, %%eax; mov %%eax, %%ss");
    USER("SS of ring 0", "mov $0x10, %%eax; mov %%eax, %%ss");
    USER("SS with RPL 0", "mov $0x98, %%eax; mov %%eax, %%ss");
    USER("x87 without an error", "fninit");
    write_cr0(read_cr0() | 8);
    USER("x87 with TS set", "nop; fnop");
    write_cr0(read_cr0() & ~8ul);
    USER("flags in the frame", "stc; std; ud2");
    show("  they are", trap.flags & 0xfd7);
#ifdef __x86_64__
    pages();
    stacks();
#endif
    handlers_in_ring_3();
    return 0;
}
