/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Exceptions by pv/interrupt.h: who is called, with what, and what a handler can change. */
#include <pv/error.h>
#include <pv/interrupt.h>
#include <pv/memory.h>
#include <pv/printf.h>

#define NOWHERE PV_SPACE_START /* nothing is mapped there */

static struct pv_trap_frame seen;
static unsigned skip; /* bytes of the failed instruction */

static void note(struct pv_trap_frame *frame)
{
    seen = *frame;
    frame->rip += skip;
}

static void show(const char *what)
{
    pv_printf("%s: trap %lu, error %lx, address %lx, user %d\n", what, seen.trap, seen.error, seen.address,
              pv_trap_is_user(&seen));
    seen = (struct pv_trap_frame){.trap = 99};
}

static void answer(struct pv_trap_frame *frame)
{
    frame->rax = frame->rbx + 1;
    frame->rip += 2;
}

/* A handler that uses the vector registers itself. */
static void disturb(struct pv_trap_frame *frame)
{
    volatile double third = 1.0 / 3.0;
    __asm__ volatile("movsd %0, %%xmm7; pxor %%xmm0, %%xmm0; fld1" : : "m"(third) : "xmm0", "xmm7");
    frame->rip += 2;
}

static int registered(void)
{
    static const unsigned known[] = {0, 1, 3, 4, 5, 6, 7, 11, 12, 13, 14, 16, 17, 19};
    int n = 0;
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
        n += pv_trap_set((enum pv_trap)known[i], note) == 0;
    return n;
}

int main(void)
{
    pv_printf("handlers: %d\n", registered());
    for (int i = -1; i < 260; i++)
        if (pv_trap_set((enum pv_trap)i, note) != 0 && i < 20)
            pv_printf("no exception: %d\n", i);
    skip = 2;
    __asm__ volatile("movb (%0), %%al" : : "a"(NOWHERE) : "memory");
    show("read");
    __asm__ volatile("movb %%al, (%0)" : : "a"(NOWHERE + 5) : "memory");
    show("write");
    __asm__ volatile("movb %%al, (%0)" : : "a"(0x200000) : "memory");
    show("write to code");
    __asm__ volatile("ud2");
    show("invalid");
    __asm__ volatile("divl %%ecx" : : "a"(1), "d"(0), "c"(0));
    show("divide");
    __asm__ volatile("movb (%0), %%al" : : "a"(0x1234567812345678) : "memory");
    show("not canonical");
    skip = 0;
    __asm__ volatile("int3");
    show("breakpoint");
    pv_trap_set(PV_TRAP_INVALID, answer);
    uint64_t result;
    __asm__ volatile("ud2" : "=a"(result) : "b"(41ull));
    pv_printf("a register changed: %lu\n", result);
    pv_trap_set(PV_TRAP_INVALID, disturb);
    double half = 0.5, kept;
    __asm__ volatile("movsd %1, %%xmm7; movsd %1, %%xmm0; ud2; addsd %%xmm7, %%xmm0; movsd %%xmm0, %0"
                     : "=m"(kept) : "m"(half) : "xmm0", "xmm7");
    pv_printf("vector registers kept: %d\n", kept == 1.0);
    return 0;
}
