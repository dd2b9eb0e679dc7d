/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How kernels find out on what CPU they are, and the little tricks of their first thousand instructions. */
#include "irq.h"

static word flags(void)
{
    word value;
    __asm__ volatile("pushf; pop %0" : "=r"(value));
    return value;
}

static void set_flags(word value)
{
    __asm__ volatile("push %0; popf" : : "r"(value) : "cc", "memory");
}

/* Can this flag be toggled? AC: no 386; ID: there is CPUID. */
static bool toggles(word flag)
{
    word before = flags();
    set_flags(before ^ flag);
    word after = flags();
    set_flags(before);
    return (before ^ after) & flag;
}

struct leaf { uint32_t a, b, c, d; };

static struct leaf cpuid(uint32_t leaf)
{
    struct leaf l;
    __asm__ volatile("cpuid" : "=a"(l.a), "=b"(l.b), "=c"(l.c), "=d"(l.d) : "a"(leaf), "c"(0));
    return l;
}

static uint64_t rdtsc(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static uint64_t rdtsc_serialized(void)
{
    uint32_t low, high;
    __asm__ volatile("cpuid; rdtsc" : "=a"(low), "=d"(high) : "0"(0) : "rbx", "rcx");
    return (uint64_t)high << 32 | low;
}

static void cpu_detection(void)
{
    show("AC toggles", toggles(1 << 18));
    show("ID toggles", toggles(1 << 21));
    show("IOPL toggles", toggles(3 << 12));
    show("NT toggles", toggles(1 << 14));
    show("bit 1 stays", flags() >> 1 & 1);
    show("bits 15, 5, 3 stay", flags() & 0x8028);
    struct leaf l = cpuid(0);
    show("leaf 1 exists", l.a >= 1);
    show("vendor", l.b == 0x756e6547 && l.d == 0x49656e69 && l.c == 0x6c65746e);
    l = cpuid(1);
    show("FPU TSC MSR PAE CX8 APIC PGE CMOV PAT FXSR SSE SSE2", (l.d & 0x7012371) | (l.d & 0xa000));
    show("extended leaves", cpuid(0x80000000).a >= 0x80000004);
    show("long mode", cpuid(0x80000001).d >> 29 & 1);
    show("TSC goes on", rdtsc() < rdtsc());
    show("serialized, too", rdtsc_serialized() < rdtsc_serialized());
    uint16_t first = 0x1234, msw;
    __asm__ volatile("sldt %0" : "=r"(first));
    show("LDT", first);
    __asm__ volatile("smsw %0" : "=r"(msw));
    show("MSW", msw & 1);
    uint32_t wide = 0xdeadbeef;
    __asm__ volatile("str %0" : "=r"(wide));
    show("TR in 32 bits", wide);
}

static void fpu_detection(void)
{
    volatile uint16_t status = 0x5a5a, control = 0x1234;
    write_cr0(read_cr0() & ~(word)0xc); /* EM, TS */
    __asm__ volatile("fninit; fnstsw %0" : "=m"(status));
    show("FNSTSW after FNINIT", status);
    __asm__ volatile("fnstcw %0" : "=m"(control));
    show("FNSTCW", control);
    status = 0x5a5a;
    __asm__ volatile("fnclex; fnstsw %%ax; mov %%ax, %0" : "=m"(status) : : "ax");
    show("FNSTSW AX", status);
    /* the bug of the first Pentium, as Linux looked for it */
    double x = 4195835.0, y = 3145727.0;
    int32_t bug;
    __asm__ volatile("fninit; fldl %1; fdivl %2; fmull %2; fldl %1; fsubp %%st, %%st(1); fistpl %0; fwait; fninit"
                     : "=m"(bug) : "m"(x), "m"(y));
    show("FDIV", (uint32_t)bug);
    /* infinities: a 287 says they are equal */
    __asm__ volatile("fninit; fld1; fldz; fdivrp %%st, %%st(1); fld %%st; fchs; fcompp; fnstsw %0" : "=m"(status));
    show("infinities", status & 0x4500);
    write_cr0(read_cr0() | 0x22); /* NE, MP */
    show("CR0 with NE and MP", read_cr0() & 0x3e);
    word ones = read_cr0() | 0x20;
    write_cr0(ones & ~(word)0x10); /* ET is fixed */
    show("ET stays", read_cr0() >> 4 & 1);
}

static void table_tricks(void)
{
    struct table_register before, after;
    __asm__ volatile("sgdt %0" : "=m"(before));
    show("GDT as it was loaded", before.limit == gdt_register.limit && before.base == gdt_register.base);
    /* The GDT moves, and code goes on with the old hidden parts. */
    static uint64_t copy[64] __attribute__((aligned(16)));
    for (unsigned i = 0; i < 64; i++)
        copy[i] = gdt[i];
    struct table_register to = {sizeof copy - 1, (word)copy};
    __asm__ volatile("lgdt %0" : : "m"(to));
    __asm__ volatile("mov %%ds, %%eax; mov %%eax, %%ds; mov %%eax, %%es; mov %%ss, %%eax; mov %%eax, %%ss" : : : "eax", "memory");
#ifdef __x86_64__
    __asm__ volatile("push $8; lea 1f(%%rip), %%rax; push %%rax; lretq; 1:" : : : "rax", "memory");
    __asm__ volatile("mov %%rsp, %%rcx; mov %%ss, %%eax; push %%rax; push %%rcx; pushf; push $8; push $1f; iretq; 1:" : : : "rax", "rcx", "memory");
#else
    __asm__ volatile("ljmp $8, $1f; 1: ljmp *2f; 2: .long 3f; .word 8; 3: push %%cs; push $4f; lret; 4:" : : : "memory");
    __asm__ volatile("pushf; push %%cs; push $1f; iret; 1: lcall $8, $2f; jmp 3f; 2: lret; 3:" : : : "memory");
#endif
    __asm__ volatile("sgdt %0" : "=m"(after));
    show("the GDT has moved", after.base == (word)copy);
    __asm__ volatile("lgdt %0" : : "m"(gdt_register));
    /* An LDT and a null one, a TSS of 104 bytes. */
    __asm__ volatile("lldt %w0" : : "r"(0));
    static uint32_t tss[26];
    set_segment(0x28, (uint32_t)(word)tss, sizeof tss - 1, 0x89, 0);
    gdt[6] = 0;
    __asm__ volatile("ltr %w0" : : "r"(0x28));
    show("the TSS is busy", gdt[5] >> 40 & 0xf);
    uint16_t tr;
    __asm__ volatile("str %0" : "=r"(tr));
    show("TR", tr);
    /* FS and GS with bases, as for the data of a CPU. */
    static uint32_t cpu_data[4] = {0x11, 0x22, 0x33, 0x44};
    set_segment(0x38, (uint32_t)(word)cpu_data, 0xfffff, 0x92, 0xc);
    uint32_t value;
    __asm__ volatile("mov %1, %%fs; movl %%fs:4, %0; mov %1, %%gs; addl %%gs:8, %0" : "=&r"(value) : "r"(0x38));
    show("FS and GS", value);
    __asm__ volatile("xor %%eax, %%eax; mov %%eax, %%fs; mov %%eax, %%gs" : : : "eax");
}

static volatile word n_debug;

static void trap_tricks(void)
{
    TRY("INT3", "int3");
    TRY("INT3 in two bytes", ".byte 0xcd, 3");
    TRY("UD2", "ud2");
    
    TRY("division by zero", "xor %%eax, %%eax; xor %%edx, %%edx; divl %%eax");
    TRY("division that overflows", "mov $1, %%edx; xor %%eax, %%eax; divl %%edx");
    TRY("a selector beyond the GDT", "mov $0xfff8, %%eax; mov %%eax, %%es");
    TRY("a code segment into SS", "mov $8, %%eax; mov %%eax, %%ss");
    TRY("unknown I/O ports", "mov $0x1234, %%edx; in %%dx, %%eax; out %%eax, %%dx");
    TRY("LTR of a busy TSS", "mov $0x28, %%eax; ltr %%ax");
    TRY("WBINVD", "wbinvd");
    TRY("INVD", "invd");
    TRY("CLTS", "clts");
    TRY("INVLPG without paging", "invlpg 0x1000");
    TRY("PAUSE", "pause; rep nop");

    TRY("LOCK on no such thing", ".byte 0xf0, 0x90");

}

/* Delays of their own: LOOP, and reads of I/O port 0x80, which takes a microsecond on a PC. */
static void delays(void)
{
    word count = 1000;
    __asm__ volatile("1: loop 1b" : "+c"(count));
    show("LOOP", count);
    __asm__ volatile("mov $3, %0; xor %%eax, %%eax; 1: inc %%eax; jecxz 2f; dec %0; jmp 1b; 2: mov %%eax, %k0" : "+c"(count) : : "eax");
    show("JCXZ", count);
    for (unsigned i = 0; i < 100; i++) {
        outb(0x80, 0);
        inb(0x80);
        __asm__ volatile("jmp 1f; 1: jmp 1f; 1:");
    }
    outb(0xeb, 0);
    outb(0xed, 0);
    print("I/O port 0x80 delays\n");
}

int main(void)
{
    cpu_detection();
    fpu_detection();
    table_tricks();
    trap_tricks();
    delays();
    return 0;
}
