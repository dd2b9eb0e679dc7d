/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What ring 3 may not do, and what IOPL, the I/O bitmap and the bits of CR4 let it do. */
#include "user.h"

static struct table_register a_table = {0x7fff, 0};
const char byte_source[] = "\x11\x22\x33";

static void privileged(void)
{
    USER("CLI", "nop; cli");
    USER("STI", "nop; sti");
    USER("HLT", "nop; hlt");
    USER("LGDT", "lgdt %0", "m"(a_table));
    USER("LIDT", "lidt %0", "m"(a_table));
    USER("LLDT", "xor %%eax, %%eax; lldt %%ax");
    USER("LTR", "mov $0xb0, %%eax; ltr %%ax");
    USER("LMSW", "mov $1, %%eax; lmsw %%ax");
    USER("CLTS", "clts");
    USER("MOV from CR0", "mov %%cr0, %%" AX);
    USER("MOV to CR0", "mov %%" AX ", %%cr0");
    USER("MOV from CR2", "mov %%cr2, %%" AX);
    USER("MOV from CR3", "mov %%cr3, %%" AX);
    USER("MOV to CR3", "mov %%" AX ", %%cr3");
    USER("MOV from CR4", "mov %%cr4, %%" AX);
    USER("MOV to CR4", "mov %%" AX ", %%cr4");
    USER("MOV from DR0", "mov %%db0, %%" AX);
    USER("MOV to DR7", "mov %%" AX ", %%db7");
    USER("RDMSR", "mov $0x277, %%ecx; rdmsr");
    USER("RDMSR of one that is not there", "mov $0x12345678, %%ecx; rdmsr");
    USER("WRMSR", "mov $0x277, %%ecx; wrmsr");
    USER("INVLPG", "invlpg (%%" AX ")");
    USER("INVD", "invd");
    USER("WBINVD", "wbinvd");
    USER("IN AL", "in $0x80, %%al");
    USER("IN AX", "mov $0x80, %%edx; in %%dx, %%ax");
    USER("IN EAX", "mov $0x80, %%edx; in %%dx, %%eax");
    USER("OUT AL", "out %%al, $0x80");
    USER("OUT DX", "mov $0x3f8, %%edx; mov $0x21, %%al; out %%al, %%dx");
    USER("INSB", "mov $0x80, %%edx; lea result, %%edi; insb");
    USER("REP INSB", "mov $0x80, %%edx; lea result, %%edi; mov $3, %%ecx; rep insb");
    USER("OUTSB", "mov $0x80, %%edx; lea result, %%esi; outsb");
    USER("REP OUTSW", "mov $0x80, %%edx; lea result, %%esi; mov $3, %%ecx; rep outsw");
    USER("a lock before nothing to lock", "lock; .byte 0x90");
    USER("UD2", "ud2");
    USER("UD1", ".byte 0x0f, 0xb9, 0xc0");
    USER("SYSEXIT", "sysexit");
#ifdef __x86_64__
    USER("SWAPGS", "swapgs");
    USER("MOV from CR8", "mov %%cr8, %%rax");
    USER("MOV to CR8", "mov %%rax, %%cr8");
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 1);
    USER("SYSRET", "mov $2, %%r11d; sysretq");
    USER("SYSRETL", "mov $2, %%r11d; sysretl");
    wrmsr(0xc0000080, rdmsr(0xc0000080) & ~1ull);
#endif
}

/* IRET within ring 3 and into others. FRAME: flags and CS of what it pops; in 64-bit code SS and SP come with them. */
#ifdef __x86_64__
#define FRAME(ss, flags, cs) "mov %%rsp, %%rax; push " ss "; push %%rax; push " flags "; push " cs "; " \
    "push $1f; iretq; 1: "
#else
#define FRAME(ss, flags, cs) "push " flags "; push " cs "; push $1f; iret; 1: "
#endif
#define READ_FLAGS "pushf; pop result; cld"

static void returns(void)
{
    USER("IRET to ring 0", FRAME("$0x10", "$2", "$8"));
    USER("IRET to code of ring 0 with RPL 3", FRAME("$0x9b", "$2", "$0xb"));
    USER("IRET to data", FRAME("$0x9b", "$2", "$0x9b"));
    USER("IRET to user code with RPL 2", FRAME("$0x9b", "$2", "$0x92"));
    USER("IRET to null", FRAME("$0x9b", "$2", "$3"));
    USER("IRET beyond the table", FRAME("$0x9b", "$2", "$0x20b"));
#ifdef __x86_64__
    USER("IRET with SS of ring 0", FRAME("$0x10", "$2", "$0xa3"));
    USER("IRET with null SS", FRAME("$0", "$2", "$0xa3"));
#endif
    USER("IRET with IF, IOPL 3 and all the rest", FRAME("$0x9b", "$0x3ed7", USER_CS) READ_FLAGS);
    show("  flags", result & 0x3fd7);
    user_flags = 0x202;
    USER("IRET with neither", FRAME("$0x9b", "$2", USER_CS) READ_FLAGS);
    show("  flags", result & 0x3fd7);
    user_flags = 0x3002;
    USER("with IOPL 3, IRET with IF and IOPL 0", FRAME("$0x9b", "$0x202", USER_CS) READ_FLAGS);
    show("  flags", result & 0x3fd7);
    user_flags = 2;
}

static void pop_flags(const char *name, word before, word popped)
{
    user_flags = before;
    print(name);
    USER("", "push %0; popf; pushf; pop result; push $2; popf", "r"(popped));
    show("  flags", result & 0x247fd7);
    user_flags = 2;
}

static void flags(void)
{
    pop_flags("POPF at IOPL 0 of 0", 0x202, 2);
    pop_flags("POPF at IOPL 0 of IF and IOPL", 0x2, 0x3202);
    pop_flags("POPF at IOPL 0 of DF, OF, NT, AC, ID", 0x2, 0x244c02);
    pop_flags("POPF at IOPL 3 of 0", 0x3202, 2);
    pop_flags("POPF at IOPL 3 of IF", 0x3002, 0x202);
    pop_flags("POPF at IOPL 2 of IF", 0x2002, 0x202);
    user_flags = 0x3002;
    USER("16-bit POPF at IOPL 3", "pushw $0x202; popfw; pushf; pop result");
    show("  flags", result & 0x3fd7);
    USER("STI at IOPL 3", "sti; pushf; pop result");
    show("  IF", result & 0x200);
    USER("CLI at IOPL 3", "sti; cli; pushf; pop result");
    show("  IF", result & 0x200);
    USER("HLT at IOPL 3", "hlt");
    USER("LGDT at IOPL 3", "lgdt %0", "m"(a_table));
    user_flags = 0x2202;
    USER("CLI at IOPL 2", "cli");
    USER("STI at IOPL 2", "sti");
    user_flags = 2;
}

static void allow(unsigned ioport, bool yes)
{
    if (yes)
        task_state.io_map[ioport / 8] &= (uint8_t)~(1u << ioport % 8);
    else
        task_state.io_map[ioport / 8] |= (uint8_t)(1u << ioport % 8);
}

static void limit_of_task_state(word limit)
{
    gdt[TSS / 8] &= ~(1ull << 41); /* not busy */
    gdt[TSS / 8] = (gdt[TSS / 8] & ~0xffffull) | limit;
    __asm__ volatile("ltr %w0" : : "r"(TSS));
}

static void io_ports(void)
{
    user_flags = 0x3002;
    USER("IN at IOPL 3", "mov $0x2e8, %%edx; in %%dx, %%al; movzx %%al, %%eax; mov %%" AX ", result");
    show("  nobody's", result);
    USER("OUT at IOPL 3", "mov $0x3ff, %%edx; mov $0x5a, %%al; out %%al, %%dx");
    show("  scratch", inb(0x3ff));
    user_flags = 0x2002;
    USER("IN at IOPL 2", "in $0x80, %%al");
    user_flags = 2;
    for (unsigned i = 0; i < sizeof task_state.io_map; i++)
        task_state.io_map[i] = 0xff;
    limit_of_task_state(sizeof task_state - 1);
    USER("OUT, a bitmap without holes", "mov $0x3ff, %%edx; out %%al, %%dx");
    allow(0x3ff, true);
    USER("OUT, the bitmap allows it", "mov $0x3ff, %%edx; mov $0xa5, %%al; out %%al, %%dx");
    show("  scratch", inb(0x3ff));
    USER("IN of it", "mov $0x3ff, %%edx; in %%dx, %%al; movzx %%al, %%eax; mov %%" AX ", result");
    show("  scratch", result);
    USER("OUT to its neighbour", "mov $0x3fe, %%edx; out %%al, %%dx");
    USER("a word from it on", "mov $0x3ff, %%edx; out %%ax, %%dx");
    USER("a word that ends with it", "mov $0x3fe, %%edx; in %%dx, %%ax");
    USER("REP OUTSB to it", "mov $0x3ff, %%edx; lea byte_source, %%esi; mov $3, %%ecx; rep outsb; "
        "mov %%ecx, result");
    show("  the last byte", inb(0x3ff));
    USER("INSB from it", "mov $0x3ff, %%edx; lea result2, %%edi; insb");
    show("  the byte", result2 & 0xff);
    allow(0x2e8, true);
    allow(0x2e9, true);
    USER("a word, both allowed", "mov $0x2e8, %%edx; in %%dx, %%ax");
    allow(0x2ea, true);
    USER("four bytes, three allowed", "mov $0x2e8, %%edx; in %%dx, %%eax");
    allow(0x2eb, true);
    USER("four bytes, all allowed", "mov $0x2e8, %%edx; in %%dx, %%eax");
    allow(0x3ff, false);
    USER("taken away again", "mov $0x3ff, %%edx; out %%al, %%dx");
    USER("CLI all the same", "cli");
    limit_of_task_state(task_state.io_map_at + 0x2ffu / 8 + 1u);
    USER("within a shorter bitmap", "mov $0x2e8, %%edx; in %%dx, %%al");
    allow(0x3ff, true);
    USER("beyond a shorter bitmap", "mov $0x3ff, %%edx; in %%dx, %%al");
    limit_of_task_state(sizeof task_state - 1);
    USER("with the long one again", "mov $0x3ff, %%edx; in %%dx, %%al");
    limit_of_task_state(task_state.io_map_at - 1u);
}

static void time_and_counters(void)
{
    USER("RDTSC", "rdtsc");
    write_cr4(read_cr4() | 4);
    USER("RDTSC with TSD", "rdtsc");
    TRY("RDTSC with TSD in ring 0", "rdtsc");
    write_cr4(read_cr4() & ~4ul);
    USER("RDTSC without", "rdtsc");
    USER("RDPMC without PCE", "xor %%ecx, %%ecx; rdpmc");
    USER("CPUID", "xor %%eax, %%eax; cpuid");
}

int main(void)
{
    user_set_up();
    privileged();
    returns();
    flags();
    io_ports();
    time_and_counters();
    return 0;
}
