/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code that is copied after it has run, by a kernel that moves itself to the top of memory, or by fork: where
 * another instruction stood in for a sensitive one, the copy must do what the original does.
 */
#include "pages.h"
#include "user.h"

extern const uint8_t kernel_begin[], kernel_end[], user_begin[], user_end[], halt_begin[], halt_end[];
__asm__(".text\n.fill 48, 1, 0x90\n"
        "kernel_begin: pushf; pop %" AX "; and $0x3200, %eax; mov %eax, %ecx\n"
        "  push $0x3202; popf; pushf; pop %" AX "; and $0x3200, %eax; push $2; popf; shl $4, %ecx; add %eax, %ecx\n"
        "  smsw %eax; and $0x3f, %eax; shl $8, %ecx; add %eax, %ecx\n"
        "  str %eax; xor %eax, %ecx\n"
        "  sub $16, %" SP "; sidt (%" SP "); movzwl (%" SP "), %eax; add $16, %" SP "; add %eax, %ecx\n"
        "  push $0x10; pop %" AX "; verr %ax; setz %al; movzbl %al, %eax; add %eax, %ecx\n"
        "  mov %ecx, result; ret\n"
        "kernel_end: .fill 48, 1, 0x90\n"
        "user_begin: pushf; pop %" AX "; and $0x3200, %eax; mov %eax, %ecx; mov $0xe9, %edx; in %dx, %al\n"
        "  movzbl %al, %eax; add %eax, %ecx; mov %ds, %eax; verw %ax; setz %al; movzbl %al, %eax; add %eax, %ecx\n"
        "  mov %ecx, result; ret\n"
        "user_end: .fill 48, 1, 0x90\n"
        "halt_begin: mov $1, %eax; mov $2, %ecx; mov $3, %edx; sti; hlt; cli; inc %eax; add %ecx, %eax\n"
        "  mov %eax, result; ret\n"
        "halt_end: .skip 16");

static uint8_t area[16 * PAGE] __attribute__((aligned(PAGE)));

enum { AROUND = 40 }; /* what stands around it is copied, too */

static const void *copy(uint8_t *to, const void *from, word n)
{
    const uint8_t *bytes = from;
    for (word i = 0; i < n + 2 * AROUND; i++)
        ((volatile uint8_t *)to)[i] = (bytes - AROUND)[i];
    return to + AROUND;
}

static word run(const void *at, bool in_ring_3)
{
    result = 0xdead;
    if (in_ring_3)
        RUN_USER("call *%0", "r"(at));
    else
        __asm__ volatile("call *%0" : : "r"(at) : "eax", "ecx", "edx", "memory", "cc");
    if (trap.count)
        report("in there");
    trap.count = 0;
    return result;
}

static void chain(const char *name, const uint8_t *begin, const uint8_t *end, bool in_ring_3)
{
    word n = (word)(end - begin), right = run(begin, in_ring_3);
    const void *at = begin;
    unsigned good = 0;
    print(name);
    show("", right);
    for (unsigned i = 0; i < 8; i++) { /* each copied from the last, some to another place in the page */
        at = copy(area + (i + 1) * PAGE + (i & 2 ? 77 * i : ((word)begin - AROUND) % PAGE), at, n);
        good += run(at, in_ring_3) == right;
    }
    show("  copies that do the same, of 8", good);
    good = 0;
    for (unsigned i = 0; i < 24; i++) { /* across two pages */
        at = copy(area + (in_ring_3 ? 12 : 14) * PAGE - AROUND - 1 - i * (n - 1) / 24, begin, n);
        good += run(at, in_ring_3) == right;
    }
    show("  across two pages, of 24", good);
    copy(area, copy(area + 2 * PAGE, begin, n), n); /* the page that it was copied from is used for something else */
    for (unsigned i = 0; i < PAGE; i++)
        area[2 * PAGE + i] = 0;
    show("  its source is gone", run(area, in_ring_3) == right);
}

/* A copy of the kernel's pages, mapped where the kernel was: the same addresses, other frames. */
static void move_kernel(void)
{
    static uint8_t copies[2 * PAGE] __attribute__((aligned(PAGE)));
    word page = (word)kernel_begin & ~(word)(PAGE - 1);
    copy(copies, (const void *)page, sizeof copies);
    word right = run(kernel_begin, false);
    map(0, copies, P | WRITE | U);
    map(1, copies + PAGE, P | WRITE | U);
    show("the whole page, elsewhere", run((const void *)((word)HIGH + ((word)kernel_begin - page)), false) == right);
}

static void tick(struct frame *frame)
{
    (void)frame;
    outb(0x20, 0x20);
}

/* HLT is itself: between CLI and STI it would never end, and after its copies it still halts. */
static void halts(void)
{
    on_interrupt = tick;
    outb(0x20, 0x11);
    outb(0x21, 0x20);
    outb(0x21, 4);
    outb(0x21, 1);
    outb(0x21, 0xfe);
    outb(0xa1, 0xff);
    word n = (word)(halt_end - halt_begin);
    show("HLT", run(halt_begin, false));
    show("  copied", run(copy(area + PAGE, halt_begin, n), false));
    show("  over a copy of PUSHF", run(copy(area, halt_begin, n), false));
}

/* A kernel that emulates what user code may not do reads the instruction that has faulted. */
static void emulated(void)
{
    unsigned good = 0;
    user_flags = 2; /* IOPL 0 */
    for (unsigned i = 0; i < 4; i++) {
        RUN_USER("mov $0xe9, %%edx; in %%dx, %%al", "i"(0));
        good += trap.count == 1 && *(const uint8_t *)trap.ip == 0xec;
    }
    show("the instruction that may not run, of 4", good);
}

int main(void)
{
    user_set_up();
    paging_set_up();
    user_flags = 0x3002; /* IOPL 3, so that IN is allowed */
    chain("the kernel's", kernel_begin, kernel_end, false);
    chain("the user's", user_begin, user_end, true);
    move_kernel();
    halts();
    emulated();
    return 0;
}
