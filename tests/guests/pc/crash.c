/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A triple fault, for the crash report: there is no IDT any more when an exception comes. CASE says where: 1 in
 * nested functions, 2 at a sensitive instruction, 3 in ring 3, in this file's own code, 4 in ring 3, in a program
 * that lies at the address of this file's `cover`. 2 and 4 are for 64-bit kernels.
 */
#include "pages.h"
#include "user.h"

#define FRAMED __attribute__((noinline, optimize("no-omit-frame-pointer", "no-optimize-sibling-calls")))

static void forget_idt(void)
{
    struct table_register none = {0, 0};
    __asm__ volatile("lidt %0" : : "m"(none));
}

static FRAMED void inner(void)
{
    __asm__ volatile("push $0x3002; popf");
    forget_idt();
#if CASE == 2
    __asm__ volatile("mov $0x800000000000, %rsp; pushf");
#else
    __asm__ volatile("ud2");
#endif
    print("not here\n");
}

void middle(void);
FRAMED void middle(void)
{
    inner();
    print("not here\n");
}

void cover(void);
void after(void);
__attribute__((aligned(4096))) FRAMED void cover(void)
{
    print("the kernel's\n");
}

__attribute__((aligned(4096))) FRAMED void after(void)
{
}

#if CASE == 4
static entry small[512] __attribute__((aligned(PAGE)));
static uint8_t program[PAGE] __attribute__((aligned(PAGE)));

/* The first 2 MiB in small pages, the one of `cover` mapped to another frame. */
static void hide(void)
{
    for (unsigned i = 0; i < 512; i++)
        small[i] = i * PAGE | P | WRITE | U;
    small[(word)cover / PAGE] = (word)program | P | WRITE | U;
    program[0x20] = 0x0f; /* UD2 */
    program[0x21] = 0x0b;
    fill_space(&space);
    table2[0] = (word)small | P | WRITE | U;
    use_space(&space);
}
#endif

FRAMED int main(void)
{
    user_set_up();
#if CASE == 3
    forget_idt();
    RUN_USER("in_ring_3: ud2");
#elif CASE == 4
    hide();
    forget_idt();
    RUN_USER("mov $cover + 0x20, %%eax; jmp *%%" AX);
#else
    middle();
#endif
    return 0;
}
