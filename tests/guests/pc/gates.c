/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ways between the rings by far transfers: call gates with their stacks and parameters, conforming code, far RET
 * and IRET to ring 3 and what they do to data segments.
 */
#include "user.h"

enum { CONFORMING = 0x20, GATE = 0xe0, OTHER = 0x100, KERNEL_DATA = 0x120 };

#ifdef __x86_64__
#define FAR_CODE_FLAGS 0xa
#define PUSH_FAR(selector, target) "push $" selector "; push $" target "; "
#define CALL_FAR PUSH_FAR("0xe3", "0") "mov %%rsp, %%rax; rex64 lcall *(%%rax); "
#define DX "rdx"
#define N_SLOTS 6
#else
#define FAR_CODE_FLAGS 0xc
#define CALL_FAR "lcall $0xe3, $0; "
#define DX "edx"
#define N_SLOTS 8
#endif

volatile word gate_cs, gate_ss, gate_sp, gate_flags, gate_stack[N_SLOTS];
extern const char gate_target[], gate_target_2[], after_gate[];

/* Where a gate leads: keeps what it finds, and returns. The second drops two parameters. */
#define KEEP "mov %cs, %eax; mov %" AX ", gate_cs; mov %ss, %eax; mov %" AX ", gate_ss; mov %" SP ", gate_sp; "             \
             "pushf; pop gate_flags; "
#ifdef __x86_64__
#define SLOT(n) "mov 8*" #n "(%rsp), %rax; mov %rax, gate_stack + 8*" #n "; "
__asm__(".text; gate_target: " KEEP SLOT(0) SLOT(1) SLOT(2) SLOT(3) "lretq");
#else
#define SLOT(n) "mov 4*" #n "(%esp), %eax; mov %eax, gate_stack + 4*" #n "; "
__asm__(".text; gate_target: " KEEP SLOT(0) SLOT(1) SLOT(2) SLOT(3) "lretl\n"
        "gate_target_2: " KEEP SLOT(0) SLOT(1) SLOT(2) SLOT(3) SLOT(4) SLOT(5) "lretl $8");
#endif

static void set_call_gate(word target, uint16_t selector, uint8_t type_and_dpl, uint8_t n_parameters)
{
    gdt[GATE / 8] = (target & 0xffff) | (uint64_t)selector << 16 | (uint64_t)n_parameters << 32 |
                    (uint64_t)type_and_dpl << 40 | (uint64_t)(target >> 16 & 0xffff) << 48;
    if (sizeof(word) == 8)
        gdt[GATE / 8 + 1] = target >> 16 >> 16;
}

static void show_gate(void)
{
    show("  CS", gate_cs);
    show("  SS", gate_ss);
    show("  below SP0", task_state.sp0 - gate_sp);
    show("  flags", gate_flags & 0x3200);
    show("  the caller is on the stack", gate_stack[0] == (word)after_gate);
    show("  its CS", gate_stack[1] & 0xffff);
}

static void __attribute__((noinline)) call_gate(const char *name)
{
    gate_cs = 0;
    USER(name, CALL_FAR ".globl after_gate; after_gate: mov %%cs, %%eax; mov %%" AX ", result; "
        "mov %%ss, %%eax; mov %%" AX ", result2");
}

static void call_gates(void)
{
    set_call_gate((word)gate_target, CODE, 0xec, 0);
    call_gate("call gate");
    show_gate();
    show("  its SP and SS", (user_sp - gate_stack[2]) << 8 | (gate_stack[3] & 0xff));
    show("  CS behind", result);
    show("  SS behind", result2);
    user_flags = 0x202;
    call_gate("call gate with IF");
    show("  flags", gate_flags & 0x3200);
    user_flags = 2;
#ifndef __x86_64__
    set_call_gate((word)gate_target_2, CODE, 0xec, 2);
    USER("call gate with two parameters", "push $0x22; push $0x11; lcall $0xe3, $0; mov %%esp, result");
    show("  below SP0", task_state.sp0 - gate_sp);
    show("  the first", gate_stack[2]);
    show("  the second", gate_stack[3]);
    show("  SP in the frame", user_sp - gate_stack[4]);
    show("  SS in the frame", gate_stack[5] & 0xffff);
    show("  SP behind", user_sp - result);
    set_call_gate((word)gate_target, CODE, 0xec, 0);
    task_state.ss0 = USER_DATA;
    TRY("a call gate within ring 0 needs no stack", "lcall $0xe0, $0");
    task_state.ss0 = DATA;
#endif
    TRY_ALL("call gate within ring 0", "mov %%" SP ", result; " CALL_FAR);
    show("  CS", gate_cs);
    show("  pushed", (result - gate_sp) / sizeof(word));
    set_call_gate((word)gate_target, CODE, 0x8c, 0);
    call_gate("call gate of DPL 0");
    set_call_gate((word)gate_target, CODE, 0x6c, 0);
    call_gate("call gate that is absent");
    set_call_gate((word)gate_target, 0, 0xec, 0);
    call_gate("call gate to null");
    set_call_gate((word)gate_target, DATA, 0xec, 0);
    call_gate("call gate to data");
    set_call_gate((word)gate_target, 0x208, 0xec, 0);
    call_gate("call gate beyond the table");
    set_call_gate((word)gate_target, OTHER, 0xec, 0);
    set_segment(OTHER, 0, 0xfffff, 0x1a, FAR_CODE_FLAGS);
    call_gate("call gate to an absent segment");
    set_call_gate((word)gate_target, USER_CODE, 0xec, 0);
    call_gate("call gate within ring 3");
    show("  CS", gate_cs);
    show("  SS", gate_ss);
    set_call_gate((word)gate_target, CODE, 0xec, 0);
#ifndef __x86_64__
    USER("jump through a gate into ring 0", "ljmp $0xe3, $0");
    set_call_gate((word)after_gate, USER_CODE, 0xec, 0);
    USER("jump through a gate within ring 3", "ljmp $0xe3, $0");
#endif
}

static void conforming(void)
{
    set_segment(CONFORMING, 0, 0xfffff, 0x9e, FAR_CODE_FLAGS);
#define SEE_CS "mov %%cs, %%eax; mov %%" AX ", result; "
#ifdef __x86_64__
    USER("ring 3 into conforming code", PUSH_FAR("0x20", "1f") "rex64 ljmp *(%%rsp); 1: " SEE_CS "cli");
#else
    USER("ring 3 into conforming code", "ljmp $0x20, $1f; 1: " SEE_CS "cli");
#endif
    show("  CS", result);
#ifdef __x86_64__
    USER("ring 3 into other code of ring 0", PUSH_FAR("0x8", "1f") "mov %%rsp, %%rax; 1: rex64 ljmp *(%%rax)");
#else
    USER("ring 3 into other code of ring 0", "ljmp $8, $0");
#endif
}

#ifdef __x86_64__
#define FRAME(ss, cs) "mov user_sp, %%rax; push " ss "; push %%rax; push " cs "; push $1f; lretq; 1: "
#else
#define FRAME(ss, cs) "mov user_sp, %%eax; push " ss "; push %%eax; push " cs "; push $1f; lret; 1: "
#endif
#define SEE_ALL "mov %%cs, %%eax; mov %%" AX ", result; mov %%ss, %%eax; mov %%" AX ", result2; mov %%" SP ", gate_sp; " \
                "mov %%ds, %%eax; mov %%" AX ", gate_stack; mov %%es, %%eax; mov %%" AX ", gate_stack + " WIDTH_ "; "  \
                "mov %%fs, %%eax; mov %%" AX ", gate_stack + 2*" WIDTH_ "; mov %%gs, %%eax; " \
                "mov %%" AX ", gate_stack + 3*" WIDTH_ "; "
#ifdef __x86_64__
#define WIDTH_ "8"
#else
#define WIDTH_ "4"
#endif

static void to_ring_3(void)
{
    TRY_ALL("far RET to ring 3", FRAME("$0x9b", USER_CS) SEE_ALL "int $0x80");
    show("  CS", result);
    show("  SS", result2);
    show("  SP", user_sp - gate_sp);
#ifdef __x86_64__
    TRY_ALL("far RET that drops 16 bytes", "mov user_sp, %%rax; push $0x9b; push %%rax; push $0; push $0; "
        "push " USER_CS "; push $1f; "
            "lretq $16; 1: " SEE_ALL "int $0x80");
#else
    TRY_ALL("far RET that drops 16 bytes", "mov user_sp, %%eax; push $0x9b; push %%eax; push $0; push $0; "
        "push $0; push $0; push "
            USER_CS "; push $1f; lret $16; 1: " SEE_ALL "int $0x80");
#endif
    show("  SP", gate_sp - user_sp);
    TRY_ALL("far RET with SS of ring 0", FRAME("$0x10", USER_CS) "int $0x80");
    TRY_ALL("far RET with null SS", FRAME("$0", USER_CS) "int $0x80");
    TRY_ALL("far RET to code of ring 0 with RPL 3", FRAME("$0x9b", "$0x0b") "int $0x80");
    TRY_ALL("far RET to null", FRAME("$0x9b", "$3") "int $0x80");
    USER("far RET to ring 0", FRAME("$0x10", "$8"));

    /* Segments that ring 3 may not have are null behind the return. */
    set_segment(KERNEL_DATA, 0, 0xfffff, 0x92, 0xc);
    set_segment(CONFORMING, 0, 0xfffff, 0x9e, FAR_CODE_FLAGS);
#define LOAD "mov $0x120, %%eax; mov %%eax, %%fs; mov $0x20, %%eax; mov %%eax, %%gs; mov $0x98, %%eax; " \
    "mov %%eax, %%es; "
    TRY_ALL("far RET: kernel data in FS, conforming code in GS, user data in ES", LOAD FRAME("$0x9b",
        USER_CS) SEE_ALL "int $0x80");
    show("  FS", gate_stack[2]);
    show("  GS", gate_stack[3]);
    show("  ES", gate_stack[1]);
    TRY_ALL("the same by IRET", LOAD "push $0x9b; push user_sp; push $2; push " USER_CS "; push $1f; "
        "iret" S "; 1: " SEE_ALL "int $0x80");
    show("  FS", gate_stack[2]);
    show("  GS", gate_stack[3]);
    show("  ES", gate_stack[1]);
    set_segment(CONFORMING, 0, 0xfffff, 0x9a, FAR_CODE_FLAGS);
    __asm__ volatile("mov %0, %%gs" : : "r"((word)CONFORMING));
    RUN_USER("mov %%gs, %%eax; mov %%" AX ", result");
    show("kernel code in GS", result);
}

int main(void)
{
    user_set_up();
    call_gates();
    conforming();
    to_ring_3();
    return 0;
}
