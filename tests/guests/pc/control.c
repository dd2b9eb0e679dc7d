/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Control, debug and model-specific registers as every emulator of a PC has them. */
#include "pc.h"

#ifdef __x86_64__
#define AX "rax"
#else
#define AX "eax"
#endif

int main(void)
{
    show("CR0", read_cr0() & 0xe005003f);
    word cr0 = read_cr0();
    __asm__ volatile("fninit");
    write_cr0(cr0 | 8); /* TS */
    TRY("x87 with TS set", "fninit");
    __asm__ volatile("clts");
    TRY("x87 after CLTS", "fninit");
    show("CR0", read_cr0() & 8);
    __asm__ volatile("lmsw %w0" : : "r"(0xb));
    show("CR0 after LMSW", read_cr0() & 0xf);
    TRY("x87 with TS set by LMSW", "fnop");
    __asm__ volatile("lmsw %w0" : : "r"(0x2));
    show("PE cannot be cleared by LMSW", read_cr0() & 0xf);
    write_cr0(cr0 | 4); /* EM */
    TRY("x87 with EM set", "fninit");
    write_cr0(cr0);
    write_cr2(0x12345678);
    show("CR2", read_cr2());
    TRY("SSE without OSFXSR", "xorps %%xmm0, %%xmm0");
    write_cr4(read_cr4() | 0x600);
    TRY("SSE with OSFXSR", "xorps %%xmm0, %%xmm0");
    write_cr0(cr0 | 8);
    TRY("SSE with TS", "xorps %%xmm0, %%xmm0");
    write_cr0(cr0);
    word value;
    __asm__ volatile("mov %1, %%dr0; mov %%dr0, %0" : "=r"(value) : "r"((word)0x1234));
    show("DR0", value);
    __asm__ volatile("mov %%dr6, %0" : "=r"(value));
    show("DR6", value);
    __asm__ volatile("mov %%dr7, %0" : "=r"(value));
    show("DR7", value);
    __asm__ volatile("mov %%db4, %0" : "=r"(value));
    show("DR4", value);
    write_cr4(read_cr4() | 8); /* DE */
    TRY("DR4 with DE", "mov %%db4, %%" AX);
    show("FS base", rdmsr(0xc0000100));
    wrmsr(0xc0000100, 0x12345678);
    show("FS base", rdmsr(0xc0000100));
    wrmsr(0xc0000101, 0x100);
    wrmsr(0xc0000102, 0x200);
    wrmsr(0xc0000100, 0);
    wrmsr(0x277, 0x0007040600070405);
    show("PAT", rdmsr(0x277));
    show("platform", rdmsr(0x17)); /* of each CPU since the Pentium Pro, as the microcode's number is */
    wrmsr(0x8b, 0);
    show("microcode", rdmsr(0x8b) >> 32 > 1);
#ifdef __x86_64__
    __asm__ volatile("swapgs");
    show("GS base", rdmsr(0xc0000101));
    show("the other", rdmsr(0xc0000102));
    wrmsr(0xc0000101, (word)&gdt);
    __asm__ volatile("mov %%gs:8, %0" : "=r"(value));
    show("by GS", value & 0xffff);
    show("EFER", rdmsr(0xc0000080) & 0xd00);
    __asm__ volatile("mov %0, %%cr8" : : "r"((word)9));
    __asm__ volatile("mov %%cr8, %0" : "=r"(value));
    show("CR8", value);
    TRY("MOV to CR1", ".byte 0x0f, 0x22, 0xc8");
    TRY("MOV from CR5", ".byte 0x0f, 0x20, 0xe8");
#endif
    __asm__ volatile("wbinvd");
    return 0;
}
