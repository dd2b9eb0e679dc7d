/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A 64-bit kernel and its user code: SYSCALL, SYSRET, SYSENTER, SYSEXIT, INT, and what user code may not do. */
#include "pc.h"

enum { USER_DATA = 0x20, USER_CODE = 0x28, TSS = 0x30 };
enum { EFER = 0xc0000080, STAR = 0xc0000081, LSTAR = 0xc0000082, FMASK = 0xc0000084 };
enum { SYSENTER_CS = 0x174, SYSENTER_ESP = 0x175, SYSENTER_EIP = 0x176 };

static struct {
    uint32_t reserved;
    uint64_t rsp[3], reserved2, ist[7];
    uint64_t reserved3;
    uint16_t reserved4, io_map;
    uint8_t map[32]; /* I/O ports 0 to 255 */
} __attribute__((packed, aligned(128))) the_tss;
static uint8_t kernel_stack[4096] __attribute__((aligned(16)));
uint8_t ring3_stack[4096] __attribute__((aligned(16)));
word kernel_sp, kernel_ip, seen[6];

/* Runs INSNS at CPL 3, IF clear; an exception in there goes on behind them, still at CPL 3, and SYSCALL 0 comes back. */
#define AS_USER(name, insns)                                                                          \
    do {                                                                                              \
        trap.count = 0;                                                                               \
        __asm__ volatile("mov %%rsp, kernel_sp; movq $9f, kernel_ip; movq $8f, try_begin\n"            \
                         "movq $7f, try_resume; mov %%rsp, try_sp; mov $8f, %%rcx; mov $2, %%r11\n" \
                         "mov $ring3_stack + 4096, %%rsp; sysretq\n"                                   \
                         "8: " insns "\n 7: xor %%eax, %%eax; syscall\n 9:"                           \
                         : : : "rax", "rcx", "rdx", "r11", "memory", "cc");                           \
        report(name);                                                                                 \
    } while (0)

__asm__("syscall_entry: cmp $1, %eax; je 1f\n"                /* 0: back to the kernel's TRY */
        "mov kernel_sp, %rsp; jmp *kernel_ip\n"
        "1: mov %rcx, seen; mov %r11, seen+8; pushfq; pop seen+16; mov %cs, seen+24; mov %ss, seen+32\n"
        "sysretq\n"                                           /* 1: note what SYSCALL did */
        "sysenter_entry: mov %rsp, seen; pushfq; pop seen+8; mov %cs, seen+16; mov %ss, seen+24\n"
        "rex.w sysexit\n");
extern const char syscall_entry[], sysenter_entry[];

static void set_up_user(void)
{
    extern uint64_t table4[], table3[], table2[];
    table4[0] |= 4, table3[0] |= 4;
    for (int i = 0; i < 32; i++)
        table2[i] |= 4;
    write_cr3(read_cr3());
    set_segment(USER_DATA, 0, 0xfffff, 0xf3, 0xc);
    set_segment(USER_CODE, 0, 0xfffff, 0xfb, 0xa);
    the_tss.rsp[0] = (word)kernel_stack + sizeof kernel_stack;
    the_tss.io_map = 0x68;
    for (int i = 0; i < 32; i++)
        the_tss.map[i] = 0xff;
    the_tss.map[0x80 / 8] = 0xfe;
    set_segment(TSS, (uint32_t)(word)&the_tss, 0x68 + 32 - 1, 0x89, 0);
    gdt[TSS / 8 + 1] = 0;
    __asm__ volatile("ltr %w0" : : "r"(TSS));
    wrmsr(EFER, rdmsr(EFER) | 1);
    wrmsr(STAR, 0x0018000800000000ull);
    wrmsr(LSTAR, (word)syscall_entry);
    wrmsr(FMASK, 0x600);
}

static void calls(void)
{
    AS_USER("SYSCALL and back", "nop");
    AS_USER("SYSCALL that notes", "mov $1, %%eax; stc; std; lea 6f(%%rip), %%rdx; syscall; 6: pushfq; pop seen+40; cld");
    show("RCX is behind it", seen[0] - try_begin < 4096);
    show("R11", seen[1] & 0xed5);
    show("RFLAGS in the kernel", seen[2] & 0xed5);
    show("CS in the kernel", seen[3]);
    show("SS in the kernel", seen[4]);
    show("RFLAGS at home", seen[5] & 0xed5);
    wrmsr(EFER, rdmsr(EFER) & ~1ull);
    TRY("SYSCALL without SCE", "syscall", "b"(0));
    wrmsr(EFER, rdmsr(EFER) | 1);

    AS_USER("SYSENTER without a CS", "sysenter");
    wrmsr(SYSENTER_CS, CODE);
    wrmsr(SYSENTER_ESP, the_tss.rsp[0]);
    wrmsr(SYSENTER_EIP, (word)sysenter_entry);
    gdt[7] = gdt[4], gdt[6] = gdt[5], gdt[5] = gdt[4]; /* SYSEXIT wants CS + 32: 0x28; SS 0x30 */
    gdt[5] = 0x00affb000000ffffull, gdt[6] = 0x00cff3000000ffffull;
    AS_USER("SYSENTER", "mov %%rsp, %%rcx; lea 6f(%%rip), %%rdx; sysenter; 6: pushfq; pop seen+32");
    show("RSP", seen[0] == the_tss.rsp[0]);
    show("RFLAGS", seen[1] & 0x200);
    show("CS", seen[2]);
    show("SS", seen[3]);
    show("IF at home", seen[4] & 0x200);
}

static void privileges(void)
{
    set_gate(0x21, ENTRY(0x21), CODE, 0xee, 0);
    AS_USER("INT that user code may", "int $0x21");
    show("interrupts", n_interrupts);
    AS_USER("INT that it may not", "int $0x22");
    AS_USER("INT 13", "int $13");
    AS_USER("CLI", "cli");
    show("CS at the fault", trap.cs);
    AS_USER("HLT", "hlt");
    AS_USER("MOV from CR0", "mov %%cr0, %%rax");
    AS_USER("RDMSR", "rdmsr");
    AS_USER("SWAPGS", "swapgs");
    AS_USER("UD2", "ud2");
    AS_USER("page that is not there", "movb $1, 0x40000000");
    AS_USER("divide by 0", "xor %%ecx, %%ecx; div %%ecx");
    AS_USER("INT3, whose gate has DPL 0", "int3");
    AS_USER("IN, not in the map", "xor %%ecx, %%ecx; sub $1, %%ecx; in $0x81, %%al");
    show("CF at the fault", trap.flags & 1);
    AS_USER("OUT, in the map", "out %%al, $0x80");
    AS_USER("OUT of two, one in the map", "out %%ax, $0x80");
    AS_USER("OUT beyond the map", "mov $0x3f8, %%edx; out %%al, %%dx");
    write_cr4(read_cr4() | 4);
    AS_USER("RDTSC with TSD", "rdtsc");
    write_cr4(read_cr4() & ~4ul);
    AS_USER("RDTSC", "rdtsc");
}

int main(void)
{
    set_up_user();
    privileges();
    calls();
    return 0;
}
