/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The instructions that show or change the state of the CPU and do not trap (Popek and Goldberg's sensitive
 * ones): in ring 0 and in ring 3 each shows what this kernel has set, in every form.
 */
#include "user.h"

#ifdef __x86_64__
#define DX "rdx"
#define GAP "8"
#define FAR_CALL "rex64 lcall *(%%rsp)"
#else
#define DX "edx"
#define GAP "4"
#define FAR_CALL "lcall *(%%esp)"
#endif

volatile uint8_t bytes[32];

/* The same instructions in either ring; what they leave in `result` is shown. They may use AX and DX. */
#define BOTH(name, insns, ...)                                                                        \
    do {                                                                                              \
        result = 0;                                                                                   \
        TRY(name, insns, __VA_ARGS__);                                                                \
        show("  ring 0", result);                                                                     \
        result = 0;                                                                                   \
        RUN_USER(insns, __VA_ARGS__);                                                                 \
        show("  ring 3", result);                                                                     \
    } while (0)
#define STORE "mov %%" AX ", result; "
#define LOW "movzwl %%ax, %%eax; " STORE
#define MARK "mov $0x12345678, %%eax; "

static void tables_and_tasks(void)
{
    BOTH("SLDT to a register", MARK "sldt %%eax; " STORE);
    BOTH("SLDT to 16 bits of a register", MARK "sldt %%ax; " STORE);
    BOTH("SLDT to memory", "movl $0x12345678, result; sldt result");
    BOTH("STR to a register", MARK "str %%eax; " STORE);
    BOTH("STR to 16 bits of a register", MARK "str %%ax; " STORE);
    BOTH("STR to memory", "movl $0x12345678, result; str result");
    BOTH("SMSW to a register", "smsw %%eax; and $0x3f, %%eax; " STORE);
    BOTH("SMSW to 16 bits of a register", MARK "smsw %%ax; " STORE);
    BOTH("SMSW to memory", "movl $0x12345678, result; smsw result");
    write_cr0(read_cr0() | 0xa); /* TS, MP */
    BOTH("SMSW with TS and MP", "smsw %%ax; " LOW);
    write_cr0(read_cr0() & ~0xaul);
    BOTH("SGDT", "sgdt bytes; mov bytes, %%ax; " LOW);
    show("  its base", *(volatile word *)(bytes + 2) == (word)gdt);
    BOTH("SIDT", "sidt bytes; mov bytes, %%ax; " LOW);
    show("  its base", *(volatile word *)(bytes + 2) == idt_register.base);
    bytes[sizeof(word) + 2] = 0x77;
    BOTH("SIDT with an operand-size prefix", ".byte 0x66; sidt bytes; mov bytes, %%ax; " LOW);
    show("  its base", *(volatile word *)(bytes + 2) == idt_register.base);
    show("  what it leaves alone", bytes[sizeof(word) + 2]);
    BOTH("SGDT on the stack", "sub $16, %%" SP "; sgdt 2(%%" SP "); mov 2(%%" SP "), %%ax; add $16, %%" SP "; "
        "" LOW);
    BOTH("SIDT by base and index", "mov $bytes, %%eax; mov $2, %%edx; sidt (%%" AX ",%%" DX ",4); "
        "mov bytes + 8, %%ax; " LOW);
    struct table_register shorter = {0x17f, gdt_register.base};
    __asm__ volatile("lgdt %0" : : "m"(shorter));
    BOTH("SGDT after LGDT", "sgdt bytes; mov bytes, %%ax; " LOW);
    __asm__ volatile("lgdt gdt_register");
}

static void selectors(void)
{
    BOTH("MOV from CS", MARK "mov %%cs, %%eax; " STORE);
    BOTH("MOV from CS to 16 bits", MARK "movw %%cs, %%ax; " STORE);
    BOTH("MOV from CS to memory", "movl $0x12345678, result; mov %%cs, result");
    BOTH("MOV from SS", MARK "mov %%ss, %%eax; " STORE);
    BOTH("MOV from SS to memory", "movl $0x12345678, result; mov %%ss, result");
    __asm__ volatile("mov %0, %%fs; mov %0, %%gs" : : "r"((word)USER_DATA));
    BOTH("MOV from FS", MARK "mov %%fs, %%eax; " STORE);
    BOTH("PUSH FS", "push %%fs; pop %%" AX "; " LOW);
    BOTH("PUSH GS", "push %%gs; pop %%" AX "; " LOW);
    BOTH("16-bit PUSH FS", MARK "mov %%" SP ", %%" DX "; pushw %%fs; sub %%" SP ", %%" DX "; popw %%ax; " STORE);
    BOTH("  the stack meanwhile", "mov %%" SP ", %%" DX "; pushw %%fs; sub %%" SP ", %%" DX "; popw %%ax; "
        "mov %%" DX ", result");
    BOTH("POP FS of null", "push $0; pop %%fs; mov %%fs, %%eax; " STORE);
    BOTH("POP GS of null with RPL 2", "push $2; pop %%gs; mov %%gs, %%eax; " STORE);
    BOTH("MOV to FS of user data with RPL 0", "mov $0x98, %%eax; mov %%eax, %%fs; mov $1, %%eax; "
        "mov %%fs, %%eax; " STORE);
    BOTH("MOV to FS of the local table", "mov $0xf, %%eax; mov %%eax, %%fs; mov $1, %%eax; mov %%fs, %%eax; "
        "" STORE);
    TRY("MOV to GS of kernel data with RPL 0", "mov $0x88, %%eax; mov %%eax, %%gs; mov %%gs, %%eax; " STORE);
    show("  ring 0", result);
    RUN_USER("mov %%gs, %%eax; " STORE);
    show("  and then in ring 3, emptied by IRET", result);
    USER("MOV from DS", "mov %%ds, %%eax; " STORE);
    show("  ring 3", result);
    USER("MOV from ES", "mov %%es, %%eax; " STORE);
    show("  ring 3", result);
    BOTH("far CALL pushes CS", "mov %%cs, %%eax; push %%" AX "; push $1f; " FAR_CALL "; jmp 2f; "
        "1: mov " GAP "(%%" SP
         "), %%eax; " LOW "lret" S "; 2: pop %%" DX "; pop %%" DX);
#ifndef __x86_64__
    BOTH("PUSH CS", "push %%cs; pop %%eax; " LOW);
    BOTH("PUSH SS", "push %%ss; pop %%eax; " LOW);
    BOTH("16-bit PUSH CS", MARK "pushw %%cs; popw %%ax; " STORE);
    USER("PUSH DS", "push %%ds; pop %%eax; " LOW);
    show("  ring 3", result);
    USER("PUSH ES", "push %%es; pop %%eax; " LOW);
    show("  ring 3", result);
    BOTH("PUSH DS, POP ES", "push %%ds; pop %%es; mov %%es, %%eax; mov %%ds, %%edx; sub %%edx, %%eax; " STORE);
#endif
}

static void show_flags(const char *name)
{
    show(name, result & 0x3f7fd7);
}

static void flags(void)
{
    __asm__ volatile("pushf; pop result; push $2; popf" : : : "cc", "memory");
    __asm__ volatile("cli; pushf; pop result" : : : "memory");
    show("PUSHF: IF after CLI", result & 0x200);
    __asm__ volatile("sti; pushf; pop result; cli" : : : "memory");
    show("PUSHF: IF after STI", result & 0x200);
    __asm__ volatile("push $0x202; popf; pushf; pop result; cli" : : : "memory", "cc");
    show_flags("POPF of IF");
    __asm__ volatile("sti; push $2; popf; pushf; pop result" : : : "memory", "cc");
    show_flags("POPF without IF");
    __asm__ volatile("push $0x3002; popf; pushf; pop result" : : : "memory", "cc");
    show_flags("POPF of IOPL 3");
    __asm__ volatile("push $0x1002; popf; pushf; pop result" : : : "memory", "cc");
    show_flags("POPF of IOPL 1");
    __asm__ volatile("push $0x244ed7; popf; pushf; pop result; push $2; popf" : : : "memory", "cc");
    show_flags("POPF of AC, ID, NT, OF, DF, IF, SF, ZF, AF, PF, CF");
    __asm__ volatile("push $0x1bb8002; popf; pushf; pop result; push $2; popf" : : : "memory", "cc");
    show_flags("POPF of VIP, VIF, RF and the bits that are none");
    __asm__ volatile("push $0x240002; popf; pushw $0x202; popfw; pushf; pop result; push $2; "
        "popf" : : : "memory", "cc");
    show_flags("16-bit POPF leaves the rest alone");
    __asm__ volatile("push $0x244202; popf; mov $0x12345678, %%eax; pushfw; popw %%ax; mov %%" AX ", result; "
        "push $2; popf"
                     : : : "eax", "memory", "cc");
    show("16-bit PUSHF", result);
    __asm__ volatile("mov %%" SP ", %%" DX "; pushfw; sub %%" SP ", %%" DX "; popw %%ax; mov %%" DX ", result"
                     : : : "eax", "edx", "memory", "cc");
    show("  the stack meanwhile", result);
    __asm__ volatile("sti; mov $0xd5, %%ah; sahf; pushf; pop result; cli" : : : "eax", "memory", "cc");
    show_flags("SAHF");
    __asm__ volatile("push $0xed7; popf; xor %%eax, %%eax; lahf; push $2; popf; movzbl %%ah, %%eax; " STORE
                     : : : "eax", "memory", "cc");
    show("LAHF", result);
    __asm__ volatile("sti; std; stc; pushf; cld; clc; cli; pop result" : : : "memory", "cc");
    show("STD, STC, STI", result & 0x601);
    user_flags = 0x202;
    RUN_USER("pushf; pop result");
    show_flags("ring 3 with IF");
    user_flags = 0x1202;
    RUN_USER("pushf; pop result");
    show_flags("ring 3 with IOPL 1");
    user_flags = 0x4002;
    RUN_USER("pushf; pop result; push $2; popf");
    show_flags("ring 3 with NT");
    user_flags = 0x3002;
    RUN_USER("sti; pushf; pop result");
    show_flags("ring 3 with IOPL 3, after STI");
    RUN_USER("push $0x202; popf; pushf; pop result; cli; pushf; pop result2");
    show_flags("ring 3 with IOPL 3, after POPF of IF and IOPL 0");
    show("and after CLI", result2 & 0x3200);
    user_flags = 2;
}

/* What a handler finds in the frame and in the flags. */
static void flags_by_gate(void)
{
    for (unsigned type = 0xe; type <= 0xf; type++) {
        print(type == 0xe ? "by an interrupt gate\n" : "by a trap gate\n");
        set_gate(0x21, ENTRY(0x21), CODE, (uint8_t)(0xe0 | type), 0);
        __asm__ volatile("push $0x3002; popf; sti; int $0x21; cli; pushf; pop result; push $2; "
            "popf" : : : "memory", "cc");
        show("  from ring 0, inside", interrupt_flags & 0x7300);
        show("  behind", result & 0x7300);
        __asm__ volatile("cli; int $0x21" : : : "memory", "cc");
        show("  with IF clear, inside", interrupt_flags & 0x7300);
        user_flags = 0x5202;
        RUN_USER("int $0x21; pushf; pop result; push $2; popf");
        show("  from ring 3, inside", interrupt_flags & 0x7300);
        show("  behind", result & 0x7300);
        user_flags = 2;
    }
}

int main(void)
{
    static uint64_t local_table[4];
    user_set_up();
    set_segment(TABLE, (uint32_t)(word)local_table, sizeof local_table - 1, 0x82, 0);
    local_table[1] = gdt[USER_DATA / 8];
    __asm__ volatile("lldt %w0" : : "r"(TABLE));
    tables_and_tasks();
    selectors();
    flags();
    flags_by_gate();
    return 0;
}
