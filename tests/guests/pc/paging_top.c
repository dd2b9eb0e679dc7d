/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes of the two upper levels of page tables: what hangs on an entry goes at a load of CR3, what hangs on others stays. */
#include "pc.h"

enum { P = 1, W = 2 };

/* Tables of a subtree that leads to one page, at the address whose indices are all 0 but the topmost. */
struct tree {
    uint64_t third[512], second[512], first[512];
    uint8_t page[4096];
} __attribute__((aligned(4096)));

extern uint64_t table4[512];
static struct tree a, b;

#define AT(top) ((volatile uint8_t *)((uint64_t)(top) << 39))

static void grow(struct tree *tree, uint8_t what)
{
    tree->third[0] = (word)tree->second | P | W;
    tree->second[0] = (word)tree->first | P | W;
    tree->first[0] = (word)tree->page | P | W;
    tree->page[0] = what;
}

static void set(unsigned top, const struct tree *tree)
{
    *(volatile uint64_t *)&table4[top] = tree ? (word)tree->third | P | W : 0;
}

static void load_cr3(void)
{
    write_cr3((word)table4);
}

int main(void)
{
    grow(&a, 0xaa);
    grow(&b, 0xbb);
    set(5, &a);
    set(7, &a);
    show("one", *AT(5));
    show("another", *AT(7));
    set(5, &b);
    load_cr3();
    show("changed", *AT(5));
    show("the other as it was", *AT(7));

    set(5, &a);
    invlpg(AT(5));
    show("changed, by INVLPG", *AT(5));
    set(5, &b); /* as it was at the last load of CR3 */
    load_cr3();
    show("changed back", *AT(5));

    set(6, &a);
    show("new, without a flush", *AT(6));
    set(6, &b);
    load_cr3();
    show("and changed", *AT(6));

    set(5, 0);
    load_cr3();
    TRY("gone", "mov (%0), %%al", "r"(AT(5)));
    set(5, &a);
    show("and there again", *AT(5));

    a.third[0] = (word)b.second | P | W; /* 5 and 7 hang on it */
    load_cr3();
    show("a level below", *AT(5) << 8 | *AT(7));
    a.third[0] = (word)a.second | P | W;
    load_cr3();
    show("and back", *AT(5) << 8 | *AT(7));
    *AT(6) = 0x66;
    show("written through the third", b.page[0]);

    for (unsigned round = 0; round < 100; round++) {
        set(5, round & 1 ? &a : &b);
        load_cr3();
        *AT(5) = (uint8_t)round;
    }
    show("by turns", a.page[0] << 8 | b.page[0]);
    return 0;
}
