/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ring 3 for the bare guests. USER runs instructions there, on a stack of their own, and says what they raised:
 * it is TRY for user code. All of the kernel is mapped for the user as well, so that user code may lie in the
 * middle of a C function, and leave its results in `result`; a test of rights maps pages of its own.
 */
#ifndef TEST_USER_H
#define TEST_USER_H
#include "pc.h"

/* Laid out as SYSCALL, SYSRET, SYSENTER and SYSEXIT want them. */
enum { SYSTEM_CODE = 0x80, SYSTEM_DATA = 0x88, USER_CODE32 = 0x93, USER_DATA = 0x9b, USER_CODE64 = 0xa3,
       USER_DATA64 = 0xab, TSS = 0xb0, TABLE = 0xc0 };

#ifdef __x86_64__
#define USER_CODE USER_CODE64
#define USER_CS "$0xa3" /* the same in assembly */
#define W "q" /* of a stack operation */
#define AX "rax"
struct task_state {
    uint32_t reserved;
    uint64_t sp0, sp1, sp2, reserved2, ist[7], reserved3;
    uint16_t reserved4, io_map_at;
    uint8_t io_map[8193];
} __attribute__((packed));
#define PUSH_ALL "push %%rax; push %%rbx; push %%rcx; push %%rdx; push %%rsi; push %%rdi; push %%rbp; push %%r8; " \
                 "push %%r9; push %%r10; push %%r11; push %%r12; push %%r13; push %%r14; push %%r15; "
#define POP_ALL "pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%r11; pop %%r10; pop %%r9; pop %%r8; pop %%rbp; " \
                "pop %%rdi; pop %%rsi; pop %%rdx; pop %%rcx; pop %%rbx; pop %%rax; "
#else
#define USER_CODE USER_CODE32
#define USER_CS "$0x93"
#define W "l"
#define AX "eax"
struct task_state {
    uint32_t link, sp0, ss0, sp1, ss1, sp2, ss2, cr3, ip, flags, registers[8], segments[6], table;
    uint16_t trap, io_map_at;
    uint8_t io_map[8193];
} __attribute__((packed));
#define PUSH_ALL "pusha; "
#define POP_ALL "popa; "
#endif

extern volatile struct task_state task_state;
extern uint8_t user_stack[8192], ring0_stack[8192]; /* what a gate finds in the TSS is the top of the latter */
extern volatile word user_sp, user_ss, user_cs, user_ds, user_flags; /* with which USER enters ring 3 */
extern volatile word result, result2;

void user_set_up(void); /* segments, TSS, all gates; INT 0x80 leaves ring 3 */
void set_local(uint64_t *table, uint16_t selector, uint32_t base, uint32_t limit, uint8_t access, uint8_t flags);
void use_local(const uint64_t *table, uint32_t size); /* as the local table */

/* Runs INSNS in ring 3, up to their end or their first exception. All registers are at their disposal. */
#define RUN_USER(insns, ...)                                                                                \
    do {                                                                                                    \
        trap.count = 0;                                                                                     \
        __asm__ volatile(PUSH_ALL "mov" S " $8f, try_begin\n mov" S " $9f, try_resume\n mov %%" SP ", try_sp\n" \
                         "push user_ss; push user_sp; push user_flags; push user_cs; push $8f\n"            \
                         "mov user_ds, %%es; mov user_ds, %%ds; iret" W "\n"                                \
                         "8: " insns "\n int $0x80\n 9: mov try_sp, %%" SP "\n" POP_ALL                     \
                         : : __VA_ARGS__ : "memory", "cc");                                                 \
    } while (0)
#define USER(name, insns, ...)                                                                              \
    do {                                                                                                    \
        RUN_USER(insns, __VA_ARGS__);                                                                       \
        report(name);                                                                                       \
    } while (0)

/* USER with 32-bit code, in a kernel of either width. */
#ifdef __x86_64__
#define USER32(name, insns, ...)                                                                            \
    do {                                                                                                    \
        user_cs = USER_CODE32;                                                                              \
        USER(name, ".code32; " insns "; int $0x80; .code64", __VA_ARGS__);                                  \
        user_cs = USER_CODE;                                                                                \
    } while (0)
#else
#define USER32 USER
#endif

/* TRY with all registers at the disposal of INSNS. They may also end up in ring 3, and leave it by INT 0x80. */
#define TRY_ALL(name, insns, ...)                                                                           \
    do {                                                                                                    \
        trap.count = 0;                                                                                     \
        __asm__ volatile(PUSH_ALL "mov" S " $8f, try_begin\n mov" S " $9f, try_resume\n mov %%" SP ", try_sp\n" \
                         "8: " insns "\n 9: mov try_sp, %%" SP "\n" POP_ALL                                 \
                         : : __VA_ARGS__ : "memory", "cc");                                                 \
        report(name);                                                                                       \
    } while (0)
#endif
