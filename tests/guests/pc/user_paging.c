/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page tables and ring 3: the rights of each ring, WP, NX, accessed and dirty bits, two address spaces, changes
 * with INVLPG or CR3. With no flush after a change only that is tested which every CPU has to do.
 */
#include "pages.h"
#include "user.h"

static uint8_t frames[8][PAGE] __attribute__((aligned(PAGE)));
static struct space other;

#define READ "mov 0x40000000, %%al"
#define SET "movb $1, 0x40000000"
#define RUN "mov $0x40000010, %%eax; call *%%" AX

static void show_bits(const char *name, const entry *of)
{
    show(name, *of & (P | WRITE | U | A | D));
}

static void rights_of(const char *name, entry bits)
{
    print(name);
    print("\n");
    map(0, frames[0], bits);
    TRY("  ring 0 reads", READ);
    TRY("  ring 0 writes", SET);
    TRY("  ring 0 runs", RUN);
    map(0, frames[0], bits);
    USER("  ring 3 reads", READ);
    show_bits("  entry", &space.low[0]);
    USER("  ring 3 writes", SET);
    show_bits("  entry", &space.low[0]);
    map(0, frames[0], bits);
    USER("  ring 3 runs", RUN);
    show_bits("  entry", &space.low[0]);
}

static void rights(void)
{
    rights_of("a user page", P | WRITE | U);
    rights_of("a read-only user page", P | U);
    rights_of("a kernel page", P | WRITE);
    rights_of("a read-only kernel page", P);
    rights_of("no page", WRITE | U);
    write_cr0(read_cr0() & ~0x10000ul);
    rights_of("a read-only user page without WP", P | U);
    rights_of("a read-only kernel page without WP", P);
    write_cr0(read_cr0() | 0x10000);
    rights_of("a read-only user page with WP again", P | U);
    entry *directory = sizeof(word) == 4 && sizeof(entry) == 4 ? &space.root[(word)HIGH >> 22 & (N_ENTRIES - 1)]
                                                                 : &space.directory[0];
    *directory &= ~(entry)U;
    flush();
    rights_of("a user page below a kernel table", P | WRITE | U);
    *directory = (*directory | U) & ~(entry)WRITE;
    flush();
    rights_of("a user page below a read-only table", P | WRITE | U);
    *directory = (*directory | WRITE) & ~(entry)A;
    flush();
    USER("the table's entry after a read", READ);
    show_bits("  it", directory);
    *directory &= ~(entry)P;
    flush();
    rights_of("a user page below no table", P | WRITE | U);
    *directory |= P;
    flush();
#if defined __x86_64__ || defined PAE
    rights_of("a user page that is NX", P | WRITE | U | NX);
    rights_of("a kernel page that is NX", P | WRITE | NX);
    rights_of("no page, NX", NX);
    *directory |= NX;
    flush();
    rights_of("a user page below a table that is NX", P | WRITE | U);
    *directory &= ~NX;
    flush();
    wrmsr(0xc0000080, rdmsr(0xc0000080) & ~0x800ull);
    flush();
    rights_of("NX without NXE", P | WRITE | U | NX);
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x800);
    flush();
#endif
}

/* A kernel that writes to a user's read-only page while WP is clear; then the user must still not. */
static void without_wp(void)
{
    map(0, frames[0], P | U);
    frames[0][0] = 7;
    USER("user write to a read-only page", SET);
    write_cr0(read_cr0() & ~0x10000ul);
    TRY("kernel write to it without WP", SET);
    show("  it came", frames[0][0]);
    USER("user write to it, still without WP", SET);
    write_cr0(read_cr0() | 0x10000);
    USER("user write to it with WP again", SET);
    TRY("kernel write to it with WP again", "movb $2, 0x40000000");
    show("  it has", frames[0][0]);
    show_bits("  entry", &space.low[0]);
}

static void across_pages(void)
{
    map(0, frames[0], P | WRITE | U);
    map(1, frames[1], P | WRITE);
    map(2, frames[2], P | U);
    frames[0][PAGE - 2] = frames[0][PAGE - 1] = 0;
    USER("a read into a kernel page", "mov 0x40000ffe, %%eax");
    USER("a write into a kernel page", "movl $-1, 0x40000ffe");
    show("  nothing was written", frames[0][PAGE - 2] | frames[0][PAGE - 1]);
    map(1, frames[1], P | WRITE | U);
    USER("a write into a read-only page", "movl $-1, 0x40001ffe");
    show("  nothing was written", frames[1][PAGE - 2] | frames[1][PAGE - 1]);
    USER("a write across two that may be", "movl $0x44332211, 0x40000ffe");
    show("  it came",
        (word)frames[0][PAGE - 2] << 24 | (word)frames[0][PAGE - 1] << 16 | (word)frames[1][0] << 8 | frames[1][1]);
    map(1, frames[1], P | WRITE);
    USER("a kernel page at the end of REP STOSB", "mov $0x40000ff0, %%edi; mov $32, %%ecx; mov $9, %%al; "
        "rep stosb");
    show("  written before it", frames[0][PAGE - 1]);
    USER("a push into a kernel page", "mov $0x40002000, %%esp; push $1");
    USER("a call of a function that ends in a kernel page", "mov $0x40000fff, %%eax; movb $0xb8, (%%" AX "); "
        "jmp *%%" AX);
}

static uint8_t peek_by_user(void)
{
    RUN_USER("movzbl 0x40003000, %%eax; mov %%" AX ", result");
    return trap.count ? 0xee : (uint8_t)result;
}

static void remapping(void)
{
    for (unsigned i = 0; i < 8; i++)
        frames[i][0] = (uint8_t)(0xa0 + i);
    map(3, frames[3], P | WRITE | U);
    show("mapped", peek_by_user());
    map(3, frames[4], P | WRITE | U);
    show("another, by INVLPG", peek_by_user());
    space.low[3] = (word)frames[5] | P | WRITE | U;
    flush();
    show("another, by CR3", peek_by_user());
    space.low[3] = 0;
    invlpg(HIGH + 3 * PAGE);
    USER("unmapped", "mov 0x40003000, %%al");
    space.low[3] = (word)frames[6] | P | U;
    show("mapped without a flush: it was not present", peek_by_user());
    USER("read-only it is", "movb $1, 0x40003000");
    /* More rights need no flush either, but the first access may still fault: then the CPU looks again. */
    space.low[3] |= WRITE;
    RUN_USER("movb $1, 0x40003000");
    USER("writable without a flush, the second time at the latest", "movb $1, 0x40003000");
    show("  it came", frames[6][0]);
    map(3, frames[7], P | WRITE);
    USER("the kernel's by INVLPG", "mov 0x40003000, %%al");
    space.low[3] |= U;
    peek_by_user();
    show("the user's without a flush, the second time at the latest", peek_by_user());
    space.low[3] &= ~(entry)WRITE;
    invlpg(HIGH + 3 * PAGE);
    USER("read-only by INVLPG", "movb $1, 0x40003000");
    space.low[3] = (word)frames[2] | P | U;
    write_cr4(read_cr4() | 0x80);
    show("another, by a change of CR4.PGE", peek_by_user());
    space.low[3] = (word)frames[3] | P | U | G;
    flush();
    invlpg(HIGH + 3 * PAGE);
    show("a global page", peek_by_user());
    space.low[3] = (word)frames[4] | P | U | G;
    invlpg(HIGH + 3 * PAGE);
    show("another, by INVLPG", peek_by_user());
    space.low[3] = (word)frames[5] | P | U | G;
    write_cr4(read_cr4() & ~0x80ul);
    show("another, by a change of CR4.PGE", peek_by_user());
    /* An accessed bit that the kernel takes away comes back after a flush. */
    space.low[3] = (word)frames[5] | P | WRITE | U;
    invlpg(HIGH + 3 * PAGE);
    USER("a write", "movb $1, 0x40003000");
    show_bits("  entry", &space.low[3]);
    space.low[3] &= ~(entry)(A | D);
    invlpg(HIGH + 3 * PAGE);
    peek_by_user();
    show_bits("  taken away, and read", &space.low[3]);
    USER("and written", "movb $1, 0x40003000");
    show_bits("  entry", &space.low[3]);
}

static void tables_by_alias(void)
{
    /* The table itself is mapped at HIGH + 6 pages, for the kernel: what it writes there counts. */
    map(6, space.low, P | WRITE);
    volatile entry *by = (volatile entry *)(HIGH + 6 * PAGE);
    by[3] = (word)frames[1] | P | U;
    invlpg(HIGH + 3 * PAGE);
    show("an entry written by another address", peek_by_user() == frames[1][0]);
    show("its accessed bit by that address", by[3] & A);
    map(6, space.low, P | WRITE | U);
    RUN_USER("mov %0, %%" AX "; mov %%" AX ", 0x40006000 + %c1; mov $0x40003000, %%eax",
             "r"((word)frames[2] | P | U), "i"(3 * sizeof(entry)));
    invlpg(HIGH + 3 * PAGE);
    show("an entry written by the user", peek_by_user() == frames[2][0]);
}

static void address_spaces(void)
{
    fill_space(&other);
    for (unsigned i = 0; i < 8; i++) {
        space.low[i] = (word)frames[i] | P | WRITE | U;
        other.low[i] = (word)frames[7 - i] | P | WRITE | U;
        frames[i][0] = (uint8_t)(0xc0 + i);
    }
    other.low[4] = 0;
    flush();
    for (unsigned i = 0; i < 3; i++) {
        show("here", peek_by_user());
        use_space(&other);
        show("there", peek_by_user());
        RUN_USER("incb 0x40003000");
        USER("a page that is not there", "mov 0x40004000, %%al");
        use_space(&space);
        RUN_USER("incb 0x40003000");
        USER("but is here", "mov 0x40004000, %%al");
    }
    show("incremented here", frames[3][0]);
    show("incremented there", frames[4][0]);
    show_bits("entry here", &space.low[3]);
    show_bits("entry there", &other.low[3]);
    other.low[3] = (word)frames[0] | P | U; /* changed while the other one is in use */
    use_space(&other);
    show("changed from outside", peek_by_user());
    USER("and read-only", "movb $1, 0x40003000");
    use_space(&space);
    USER("not so here", "movb $0x55, 0x40003000");
    /* The same code address, other code. */
    static const uint8_t one[] = {0xb8, 1, 0, 0, 0, 0xc3}, two[] = {0xb8, 2, 0, 0, 0, 0xc3};
    for (unsigned i = 0; i < 6; i++) {
        frames[5][16 + i] = one[i];
        frames[2][16 + i] = two[i];
    }
    word sum = 0;
    for (unsigned i = 0; i < 20; i++) {
        use_space(i & 1 ? &other : &space);
        RUN_USER("mov $0x40005010, %%eax; call *%%" AX "; mov %%" AX ", result");
        sum = sum * 3 + result;
    }
    use_space(&space);
    show("code by the same address in both", sum & 0xffffffff);
    TRY("the kernel runs it too", "mov $0x40005010, %%eax; call *%%" AX "; mov %%" AX ", result");
    show("  here", result);
}

int main(void)
{
    for (unsigned i = 0; i < 8; i++)
        frames[i][16] = 0xc3;
    user_set_up();
    paging_set_up();
    rights();
    without_wp();
    across_pages();
    remapping();
    tables_by_alias();
    address_spaces();
    return 0;
}
