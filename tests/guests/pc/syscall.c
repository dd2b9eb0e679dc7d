/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SYSCALL and SYSRET: what they take, what they leave, and where they are refused. */
#include "user.h"

enum { EFER = 0xc0000080, STAR, LSTAR, CSTAR, FMASK };
enum { BY_SYSRET, BY_SYSRETL, LEAVE_IT };

volatile word entry_ip, entry_flags_saved, entry_flags, entry_sp, entry_cs, entry_ss; /* what the entry saw */
volatile word return_by, return_ip, return_flags; /* 0: as they came */
volatile word after_cs, after_ss, after_flags, after_sp, after_cx, after_11; /* what ring 3 saw then */

/* Keeps what it sees, and goes back as it is told. */
extern const char entry_64[], entry_32[];
__asm__(".text\n"
        "entry_64: mov %rsp, entry_sp; lea ring0_stack + 4096, %rsp\n"
        "pushf; pop entry_flags; mov %rcx, entry_ip; mov %r11, entry_flags_saved\n"
        "mov %cs, %eax; mov %rax, entry_cs; mov %ss, %eax; mov %rax, entry_ss\n"
        "cld\n"
        "mov return_flags, %rax; test %rax, %rax; cmovnz %rax, %r11\n"
        "mov return_ip, %rax; test %rax, %rax; cmovnz %rax, %rcx\n"
        "cmpl $1, return_by; mov entry_sp, %rsp; je 1f; ja 2f; sysretq\n"
        "1: sysretl\n"
        "2: mov try_sp, %rsp; push $0x10; mov try_sp, %rax; push %rax; push $2; push $8; push try_resume; iretq\n"
        "entry_32: movl $0x32, result; jmp entry_64\n");

#define SEE "pushf; pop after_flags; mov %%cs, %%eax; mov %%rax, after_cs; mov %%ss, %%eax; mov %%rax, after_ss; " \
            "mov %%rsp, after_sp; mov %%rcx, after_cx; mov %%r11, after_11; push $2; popf; "
extern const char after_call[];

static void show_entry(void)
{
    show("  RCX is the next instruction", entry_ip == (word)after_call);
    show("  R11", entry_flags_saved & 0x247fd7);
    show("  flags inside", entry_flags & 0x247fd7);
    show("  CS", entry_cs & 0xffff);
    show("  SS", entry_ss & 0xffff);
    show("  SP is the user's", entry_sp == user_sp);
}

static void show_return(void)
{
    show("  flags behind", after_flags & 0x247fd7);
    show("  CS", after_cs);
    show("  SS", after_ss);
    show("  SP", after_sp == user_sp);
    show("  RCX", after_cx == (word)after_call);
}

/* With everything in the flags that ring 3 may have. */
static __attribute__((noinline)) void call_it(const char *name)
{
    after_cs = after_ss = after_flags = entry_cs = 0;
    USER(name, "syscall; .globl after_call; after_call: " SEE);
}

static void plain(void)
{
    wrmsr(FMASK, 0);
    user_flags = 0x202;
    call_it("SYSCALL, FMASK of 0");
    show_entry();
    show_return();
    wrmsr(FMASK, 0x200);
    user_flags = 0x240ed7;
    call_it("SYSCALL, FMASK of IF");
    show_entry();
    show_return();
    wrmsr(FMASK, 0x47700);
    user_flags = 0x243ed7;
    call_it("SYSCALL, FMASK of AC, NT, IOPL, DF, IF, TF");
    show_entry();
    show_return();
    wrmsr(FMASK, 0xffffffff);
    call_it("SYSCALL, FMASK of all");
    show_entry();
    user_flags = 2;
    wrmsr(FMASK, 0x200);
}

static void returns(void)
{
    return_flags = 0x3202;
    call_it("SYSRET with IOPL 3 and IF in R11");
    show("  flags behind", after_flags & 0x247fd7);
    return_flags = 0x3fdc7 & ~0x100ul;
    call_it("SYSRET with VM, RF and the bits that are none");
    show("  flags behind", after_flags & 0x3f7fd7);
    return_flags = 0;
    return_ip = 1ul << 47;
    RUN_USER("syscall");
    show("SYSRET to an address that is not canonical: vector", trap.vector);
    show("  error", trap.error);
    show("  CS in the frame", trap.cs);
    show("  SP in the frame is the user's", trap.sp == user_sp);
    return_ip = 0x40000000;
    RUN_USER("syscall");
    show("SYSRET to nothing: vector", trap.vector);
    show("  error", trap.error);
    show("  CS in the frame", trap.cs);
    return_ip = 0;
    TRY("SYSCALL in ring 0", "movl $2, return_by; syscall");
    show("  CS", entry_cs);
    return_by = BY_SYSRET;
    TRY("SYSRET to ring 3 from a place of its own", "mov %%rsp, %%rax; mov $1f, %%ecx; mov $0x202, %%r11d; "
        "mov user_sp, %%rsp; sysretq; "
        "1: " SEE "int $0x80");
    show("  flags", after_flags & 0x247fd7);
    show("  CS", after_cs);
    show("  SS", after_ss);
}

/* SYSCALL and SYSRET read no descriptor: the selectors may name none. */
static void no_descriptors(void)
{
    wrmsr(STAR, (uint64_t)0x150 << 48 | (uint64_t)0x140 << 32);
    call_it("selectors of no descriptors");
    show_entry();
    show_return();
    wrmsr(STAR, (uint64_t)0x93 << 48 | (uint64_t)0x80 << 32);
    call_it("a base with RPL 3 for SYSRET");
    show("  CS", after_cs);
    show("  SS", after_ss);
    wrmsr(STAR, (uint64_t)0x90 << 48 | (uint64_t)0x80 << 32);
}

static void narrow(void)
{
    return_by = BY_SYSRETL;
    after_cs = after_flags = 0;
    USER("SYSRETL", "push $1f; pop return_ip; syscall; .code32; 1: mov %%cs, %%eax; mov %%eax, after_cs; "
        "mov %%ss, %%eax; "
         "mov %%eax, after_ss; dec %%eax; mov %%eax, result; int $0x80; .code64");
    show("  CS", after_cs);
    show("  SS", after_ss);
    show("  DEC in one byte", result);
    return_ip = 0;
    return_by = BY_SYSRET;
    user_cs = USER_CODE32;
    result = 0;
    USER("SYSCALL in 32-bit code", ".code32; syscall; int $0x80; .code64");
    show("  the entry of CSTAR was taken", result == 0x32);
    user_cs = USER_CODE;
}

int main(void)
{
    user_set_up();
    show("EFER.SCE", rdmsr(EFER) & 1);
    USER("SYSCALL without SCE", "syscall");
    TRY("SYSCALL without SCE in ring 0", "syscall");
    TRY("SYSRET without SCE", "sysretq");
    USER("SYSRET without SCE in ring 3", "sysretq");
    wrmsr(STAR, (uint64_t)0x90 << 48 | (uint64_t)0x80 << 32 | 0x1234);
    wrmsr(LSTAR, (word)entry_64);
    wrmsr(CSTAR, (word)entry_32);
    show("STAR", rdmsr(STAR));
    show("LSTAR", rdmsr(LSTAR) == (word)entry_64);
    show("CSTAR", rdmsr(CSTAR) == (word)entry_32);
    wrmsr(FMASK, 0x12345);
    show("FMASK", rdmsr(FMASK));
    wrmsr(EFER, rdmsr(EFER) | 1);
    show("EFER.SCE", rdmsr(EFER) & 1);
    USER("SYSRET in ring 3", "sysretq");
    plain();
    returns();
    no_descriptors();
    narrow();
    TRY("LSTAR that is not canonical", "mov $0x8000, %%edx; mov $0, %%eax; wrmsr", "c"(LSTAR));
    wrmsr(EFER, rdmsr(EFER) & ~1ull);
    USER("SYSCALL, SCE taken away", "syscall");
    return 0;
}
