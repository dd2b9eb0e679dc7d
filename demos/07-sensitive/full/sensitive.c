/* SPDX-License-Identifier: MIT */
/*
 * Looks at its own CPU with the instructions that x86 lets everybody run: PUSHF, POPF, SGDT, SIDT, SLDT, STR, SMSW,
 * LAR, LSL, VERR, VERW. A kernel that owns its machine sees what it has set itself. One that was pushed out of
 * ring 0 and not told so sees its hypervisor's machine instead, unless the hypervisor takes care.
 *
 * Lines that begin with `!` are those where that shows. Everything here is a plain PC; nothing knows pvisor.
 */
#include <stdbool.h>
#include <stdint.h>

#include <pv/printf.h>

#include "machine.h"

static const char *yes_or_no(bool answer)
{
    return answer ? "yes" : "no";
}

/* --- which tables, and where */

static void look_at_tables(void)
{
    struct table_register gdtr, idtr;
    uint16_t ldt, task, code;

    __asm__ volatile("sgdt %0" : "=m"(gdtr));
    __asm__ volatile("sidt %0" : "=m"(idtr));
    __asm__ volatile("sldt %0" : "=m"(ldt));
    __asm__ volatile("str %0" : "=m"(task));
    __asm__ volatile("mov %%cs, %0" : "=m"(code));
    pv_printf("! SGDT   limit %u; is it my table? %s\n", gdtr.limit, yes_or_no(gdtr.base == (uint64_t)my_gdt));
    pv_printf("! SIDT   limit %u; is it my table? %s\n", idtr.limit, yes_or_no(idtr.base == (uint64_t)my_idt));
    pv_printf("! SLDT   %#x\n", ldt);
    pv_printf("! STR    %#x\n", task);
    pv_printf("  CS     %#x, so this is ring %u\n", code, code & 3);
}

/* --- CR0: WP is off for a moment, as a kernel that patches its own code would have it */

static void look_at_cr0(void)
{
    uint64_t cr0, shown;

    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0 & ~CR0_WP) : "memory");
    __asm__ volatile("smsw %0" : "=r"(shown));
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0) : "memory");
    pv_printf("! SMSW   WP is cleared; does it look so? %s\n", yes_or_no(!(shown & CR0_WP)));
    __asm__ volatile("mov %%cr0, %0" : "=r"(shown));
    pv_printf("  CR0    WP is set; does it look so? %s\n", yes_or_no(shown & CR0_WP));
}

/* --- questions about descriptors */

static void ask_about(const char *name, uint64_t selector)
{
    uint64_t rights = 0, limit = 0;
    bool has_rights, has_limit, may_read, may_write;

    __asm__ volatile("lar %2, %0" : "+r"(rights), "=@ccz"(has_rights) : "r"(selector));
    __asm__ volatile("lsl %2, %0" : "+r"(limit), "=@ccz"(has_limit) : "r"(selector));
    __asm__ volatile("verr %w1" : "=@ccz"(may_read) : "r"(selector));
    __asm__ volatile("verw %w1" : "=@ccz"(may_write) : "r"(selector));
    pv_printf("! LAR    %s: ", name);
    pv_printf(has_rights ? "rights %#lx\n" : "no such descriptor\n", rights);
    pv_printf("! LSL    %s: ", name);
    pv_printf(has_limit ? "limit %#lx\n" : "no such descriptor\n", limit);
    pv_printf("! VERR   %s: readable? %s\n", name, yes_or_no(may_read));
    pv_printf("%c VERW   %s: writable? %s\n", selector == DATA ? '!' : ' ', name, yes_or_no(may_write));
}

/* --- flags */

static uint64_t pushf(void)
{
    uint64_t flags;
    __asm__ volatile("pushf; pop %0" : "=r"(flags) : : "memory");
    return flags;
}

static void popf(uint64_t flags)
{
    __asm__ volatile("push %0; popf" : : "r"(flags) : "memory", "cc");
}

static void look_at_flags(void)
{
    uint64_t flags = pushf();

    __asm__ volatile("sti" : : : "memory");
    pv_printf("  PUSHF  after STI: IF %u\n", (unsigned)(pushf() >> IF_BIT & 1));
    popf(flags & ~IF);
    pv_printf("! POPF   of IF 0: IF %u\n", (unsigned)(pushf() >> IF_BIT & 1));
    __asm__ volatile("cli" : : : "memory");
    pv_printf("  PUSHF  after CLI: IF %u\n", (unsigned)(pushf() >> IF_BIT & 1));
    popf(flags | IF);
    pv_printf("! POPF   of IF 1: IF %u\n", (unsigned)(pushf() >> IF_BIT & 1));
    __asm__ volatile("cli" : : : "memory");
    popf(flags | IOPL);
    pv_printf("! POPF   of IOPL 3: IOPL %u\n", (unsigned)(pushf() >> IOPL_BIT & 3));
    popf(flags);
}

/* --- what comes of it: a kernel waits for its clock. All do it like this: PUSHF, CLI, the work, POPF */

static void wait_for_the_clock(void)
{
    __asm__ volatile("sti" : : : "memory");
    uint64_t flags = pushf();
    __asm__ volatile("cli" : : : "memory");
    start_clock(); /* must not be interrupted */
    popf(flags);   /* and now may be */
    for (uint32_t i = 0; i < PATIENCE && !ticks; i++)
        __asm__ volatile("pause" : : : "memory");
    __asm__ volatile("cli" : : : "memory");
    pv_printf("! clock  does it tick? %s\n", ticks ? "yes" : "no: interrupts are still off");
}

int main(void)
{
    use_own_tables();
    look_at_tables();
    look_at_cr0();
    ask_about("my code", CODE);
    ask_about("my data", DATA);
    look_at_flags();
    wait_for_the_clock();
    return 0;
}
