/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sensitive instructions in code that moves and changes: copied at run time, run by two addresses, overwritten by
 * other code and written back, across two pages, changed by themselves. Whatever finds them by address is wrong.
 */
#include "pages.h"
#include "user.h"

#define STORES "mov %" AX ", result; ret; "
/* Each leaves the same in `result` wherever it runs. */
extern const uint8_t flags_code[], table_code[], task_code[], cs_code[], switch_code[], pop_code[],
    rights_code[], end_code[];
__asm__(".text\n"
        "flags_code: pushf; pop %" AX "; and $0x3200, %eax; " STORES
        "table_code: sub $16, %" SP "; sidt (%" SP "); movzwl (%" SP "), %eax; add $16, %" SP "; " STORES
        "task_code: str %eax; " STORES
        "cs_code: mov %cs, %eax; " STORES
        "switch_code: smsw %eax; and $0x3f, %eax; " STORES
        "pop_code: push $0x3202; popf; pushf; pop %" AX "; and $0x3200, %eax; push $2; popf; " STORES
        "rights_code: push $0x10; pop %" AX "; verr %ax; setz %al; movzbl %al, %eax; " STORES
        "end_code: .skip 32");

static const struct {
    const char *name;
    const uint8_t *begin, *end;
} codes[] = {{"PUSHF", flags_code, table_code}, {"SIDT", table_code, task_code}, {"STR", task_code, cs_code},
             {"MOV from CS", cs_code, switch_code}, {"SMSW", switch_code, pop_code}, {"POPF", pop_code, rights_code},
             {"VERR", rights_code, end_code}};
enum { N_CODES = 7 };

static uint8_t page[4 * PAGE] __attribute__((aligned(PAGE)));

static unsigned copy(volatile uint8_t *to, unsigned i)
{
    unsigned n = (unsigned)(codes[i].end - codes[i].begin);
    for (unsigned k = 0; k < n; k++)
        to[k] = codes[i].begin[k];
    return n;
}

static word run(const volatile uint8_t *at, bool in_ring_3)
{
    result = 0xdead;
    if (in_ring_3) {
        RUN_USER("call *%0", "r"(at));
    } else {
        word leaf = 0; /* CPUID serializes: the code may have been written by another address (SDM 3A 11.6) */
        __asm__ volatile("cpuid" : "+a"(leaf) : : "ebx", "ecx", "edx", "memory");
        __asm__ volatile("push $0x202; popf; call *%0; push $2; popf" : : "r"(at) : "eax", "memory", "cc");
    }
    if (trap.count)
        report("in there");
    return result;
}

/* mov $value, %eax; mov %eax, result; ret: what a page holds in between. */
static void write_plain(volatile uint8_t *at, uint32_t value)
{
    at[0] = 0xb8;
    for (unsigned k = 0; k < 4; k++)
        at[1 + k] = (uint8_t)(value >> 8 * k);
    at += 5;
#ifdef __x86_64__
    *at++ = 0x89; /* mov %eax, result: with no base register */
    *at++ = 0x04;
    *at++ = 0x25;
#else
    *at++ = 0xa3;
#endif
    for (unsigned k = 0; k < 4; k++)
        at[k] = (uint8_t)((word)&result >> 8 * k);
    at[4] = 0xc3;
}

/* How often, of all the ways in which it is done, the code gave what the first copy gave. */
static void everywhere(unsigned i, bool in_ring_3)
{
    unsigned n = copy(page, i);
    word right = run(page, in_ring_3);
    print(codes[i].name);
    show(in_ring_3 ? " in ring 3" : " in ring 0", right);

    unsigned good = 0, all = 0;
    for (unsigned at = PAGE - n; at < PAGE; at++) {
        copy(page + at, i);
        good += run(page + at, in_ring_3) == right;
        all++;
    }
    show("  at each place across two pages", good == all);

    good = 0;
    map(0, page, P | WRITE | U);
    map(1, page, P | WRITE | U);
    for (unsigned k = 0; k < 8; k++) {
        volatile uint8_t *by = HIGH + PAGE * (k & 1), *other = k & 2 ? page : HIGH + PAGE * (~k & 1);
        write_plain(by + 64, k);
        good += run(other + 64, in_ring_3) == k;
        copy(by + 64, i);
        good += run(other + 64, in_ring_3) == right;
    }
    show("  overwritten and written back, by other addresses", good);

    good = 0;
    for (unsigned k = 0; k < 2; k++) {
        copy(page + PAGE + 128, i);
        map(2, page + (k + 1) * PAGE, P | WRITE | U);
        write_plain(page + 2 * PAGE + 128, 0x77);
        good += run(HIGH + 2 * PAGE + 128, in_ring_3) == (k ? 0x77 : right);
    }
    show("  one address, two pages", good);

    copy(page + 3 * PAGE, i);
    run(page + 3 * PAGE, in_ring_3);
    good = 0;
    for (unsigned k = 0; k < n; k++)
        good += page[3 * PAGE + k] == codes[i].begin[k];
    show("  it reads back as it was written", good == n);

    /* Code that was moved by the user, or read and written again, one byte further. */
    volatile uint8_t *moved = page + 3 * PAGE;
    for (unsigned k = n; k-- > 0;)
        moved[k + 1] = moved[k];
    show("  moved on by one byte", run(moved + 1, in_ring_3) == right);
}

/* An instruction that makes the next one sensitive: the byte before 0x9c becomes a NOP instead of a constant's opcode. */
static void made_by_itself(bool in_ring_3)
{
    volatile uint8_t *at = page;
    unsigned n = 0;
    at[n++] = 0xc6; /* movb $0x90, page + 64 */
#ifdef __x86_64__
    at[n++] = 0x04;
    at[n++] = 0x25;
#else
    at[n++] = 0x05;
#endif
    for (unsigned k = 0; k < 4; k++)
        at[n++] = (uint8_t)((word)(page + 64) >> 8 * k);
    at[n++] = 0x90;
    at[n++] = 0xeb; /* jmp page + 64 */
    at[n] = (uint8_t)(64 - n - 1);
    /* mov $0x9c, %al, or nop and pushf; then pop and and. */
    static const uint8_t tail[] = {0xb0, 0x9c, 0x58, 0x25, 0, 0x32, 0, 0};
    for (unsigned k = 0; k < sizeof tail; k++)
        at[64 + k] = tail[k];
    write_plain(at + 64 + sizeof tail - 5, 0); /* its store and RET only */
    for (unsigned k = 0; k < sizeof tail; k++)
        at[64 + k] = tail[k];
    show("a NOP that uncovers PUSHF", run(page, in_ring_3));
}

int main(void)
{
    user_set_up();
    paging_set_up();
    user_flags = 0x1202;
    for (unsigned ring = 0; ring < 2; ring++) {
        for (unsigned i = 0; i < N_CODES; i++)
            everywhere(i, ring);
        made_by_itself(ring);
    }
    return 0;
}
