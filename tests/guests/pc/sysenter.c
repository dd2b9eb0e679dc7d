/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SYSENTER and SYSEXIT: what the three MSRs give, and where they are refused. */
#include "user.h"

enum { SYSENTER_CS = 0x174, SYSENTER_SP, SYSENTER_IP };
#ifdef __x86_64__
#define CX "rcx"
#define DX "rdx"
#define WIDE ".byte 0x48; " /* SYSEXIT to 64-bit code */
#else
#define CX "ecx"
#define DX "edx"
#define WIDE
#endif

volatile word entry_flags, entry_sp, entry_cs, entry_ss;
volatile word after_cs, after_ss, after_flags, after_sp;

/* Nothing is kept of where it came from: CX and DX are told by the caller, as is the way back. */
extern const char entry[];
__asm__(".text\n"
        "entry: mov %" SP ", entry_sp; pushf; pop entry_flags\n"
        "mov %cs, %eax; mov %" AX ", entry_cs; mov %ss, %eax; mov %" AX ", entry_ss\n"
        "test %edi, %edi; jnz 1f\n"
        WIDE "sysexit\n"
        "1: sysexit\n");

#define SEE "pushf; pop after_flags; mov %%cs, %%eax; mov %%" AX ", after_cs; mov %%ss, %%eax; mov %%" AX ", after_ss; " \
            "mov %%" SP ", after_sp; push $2; popf; "
#define CALL "xor %%edi, %%edi; mov %%" SP ", %%" CX "; mov $1f, %%edx; sysenter; 1: " SEE

static void show_entry(void)
{
    show("  flags", entry_flags & 0x247700);
    show("  SP", entry_sp == (word)ring0_stack + 4096);
    show("  CS", entry_cs);
    show("  SS", entry_ss);
    show("  flags behind", after_flags & 0x247700);
    show("  CS", after_cs);
    show("  SS", after_ss);
    show("  SP", after_sp == user_sp);
}

int main(void)
{
    user_set_up();
    show("MSRs", rdmsr(SYSENTER_CS) | rdmsr(SYSENTER_SP) | rdmsr(SYSENTER_IP));
    USER("SYSENTER with CS of 0", "sysenter");
    TRY_ALL("SYSENTER with CS of 0 in ring 0", "sysenter");
    TRY_ALL("SYSEXIT with CS of 0", "sysexit");
    wrmsr(SYSENTER_CS, SYSTEM_CODE);
    wrmsr(SYSENTER_SP, (word)ring0_stack + 4096);
    wrmsr(SYSENTER_IP, (word)entry);
    show("CS", rdmsr(SYSENTER_CS));
    show("SP", rdmsr(SYSENTER_SP) == (word)ring0_stack + 4096);
    show("IP", rdmsr(SYSENTER_IP) == (word)entry);
    USER("SYSEXIT in ring 3", "sysexit");
    USER("SYSENTER", CALL);
    show_entry();
    user_flags = 0x243602;
    USER("SYSENTER with flags", CALL);
    show_entry();
    user_flags = 2;
    TRY_ALL("SYSENTER in ring 0", "mov user_sp, %%" CX "; mov $1f, %%edx; xor %%edi, %%edi; sysenter; "
        "1: " SEE "int $0x80");
    show_entry();
    TRY_ALL("SYSEXIT in ring 0", "mov user_sp, %%" CX "; mov $1f, %%edx; " WIDE "sysexit; 1: " SEE "int $0x80");
    show("  CS", after_cs);
    show("  SS", after_ss);
    wrmsr(SYSENTER_CS, SYSTEM_CODE | 3);
    USER("SYSENTER with RPL 3 in CS", CALL);
    show_entry();
#ifdef __x86_64__
    wrmsr(SYSENTER_CS, SYSTEM_CODE);
    user_cs = USER_CODE32;
    USER("SYSENTER in 32-bit code, SYSEXIT to it",
         ".code32; mov $1, %%edi; mov %%esp, %%ecx; mov $1f, %%edx; sysenter; 1: mov %%cs, %%eax; "
         "mov %%eax, after_cs; "
         "mov %%ss, %%eax; mov %%eax, after_ss; mov %%esp, after_sp; int $0x80; .code64");
    show_entry();
    user_cs = USER_CODE;
    TRY_ALL("SYSENTER IP that is not canonical", "mov $0x176, %%ecx; mov $0x8000, %%edx; mov $0, %%eax; wrmsr");
    TRY_ALL("SYSENTER SP that is not canonical", "mov $0x175, %%ecx; mov $0x8000, %%edx; mov $0, %%eax; wrmsr");
    wrmsr(SYSENTER_SP, (word)ring0_stack + 4096);
    wrmsr(SYSENTER_IP, (word)entry);
    TRY_ALL("SYSEXIT to an IP that is not canonical", "mov $0x1000, %%ecx; mov $1, %%edx; shl $47, %%rdx; "
        "" WIDE "sysexit");
    TRY_ALL("SYSEXIT to an SP that is not canonical", "mov $1, %%ecx; shl $47, %%rcx; mov $0x100000, %%edx; "
        "" WIDE "sysexit");
#endif
    wrmsr(SYSENTER_CS, 3);
    USER("SYSENTER with CS of 3", CALL);
    wrmsr(SYSENTER_CS, 0);
    USER("SYSENTER, CS of 0 again", "sysenter");
    return 0;
}
