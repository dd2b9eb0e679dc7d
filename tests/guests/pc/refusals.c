/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the CPU refuses to be told: bad values for control registers and MSRs. Each is #GP(0), and changes nothing. */
#include "pc.h"

static void refuse_msr(const char *name, uint32_t index, uint64_t value)
{
    TRY(name, "mov %1, %%rax; mov %%rax, %%rdx; shr $32, %%rdx; wrmsr", "c"(index), "r"(value));
}

int main(void)
{
    word cr0 = read_cr0(), cr3 = read_cr3(), cr4 = read_cr4();
    uint64_t efer = rdmsr(0xc0000080);
    TRY("CR0: PG without PE", "mov %0, %%cr0", "r"(cr0 & ~1ul));
    TRY("CR0: NW without CD", "mov %0, %%cr0", "r"((cr0 | 1ul << 29) & ~(1ul << 30)));
    TRY("CR0: bit 32", "mov %0, %%cr0", "r"(cr0 | 1ul << 32));
    TRY("CR0: no paging in 64-bit code", "mov %0, %%cr0", "r"(cr0 & ~(1ul << 31)));
    TRY("CR3: bit 62", "mov %0, %%cr3", "r"(cr3 | 1ul << 62));
    TRY("CR4: no PAE in long mode", "mov %0, %%cr4", "r"(cr4 & ~0x20ul));
    TRY("CR4: bit 32", "mov %0, %%cr4", "r"(cr4 | 1ul << 32));
    TRY("CR4: bit 31", "mov %0, %%cr4", "r"(cr4 | 1ul << 31));
    TRY("CR8: 16", "mov %0, %%cr8", "r"(16ul));
    TRY("DR6: bit 32", "mov %0, %%dr6", "r"(1ul << 32));
    TRY("DR7: bit 32", "mov %0, %%dr7", "r"(1ul << 32));
    refuse_msr("EFER: bit 1", 0xc0000080, efer | 2);
    refuse_msr("EFER: no LME while paging is on", 0xc0000080, efer & ~0x100ull);
    refuse_msr("FS base that is not canonical", 0xc0000100, 1ull << 47);
    refuse_msr("kernel GS base that is not canonical", 0xc0000102, 1ull << 63);
    refuse_msr("PAT with a type 2", 0x277, 2);
    refuse_msr("an MSR that is not there", 0x12345678, 0);
    TRY("nor to be read", "rdmsr", "c"(0x12345678));
    TRY("XSETBV without OSXSAVE", "xsetbv", "c"(0));
    TRY("LGDT of a base that is not canonical", "push $0x7fff; movq $-1, 2(%%rsp); movb $0x12, 9(%%rsp); lgdt (%%rsp)");
    show("CR0 kept", read_cr0() == cr0);
    show("CR3 kept", read_cr3() == cr3);
    show("CR4 kept", read_cr4() == cr4);
    show("EFER kept", rdmsr(0xc0000080) == efer);
    return 0;
}
