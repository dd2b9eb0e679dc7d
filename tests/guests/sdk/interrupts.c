/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupts by pv/interrupt.h: a CPU that interrupts itself, kept away in each way there is. */
#include <pv/error.h>
#include <pv/interrupt.h>
#include <pv/printf.h>

static volatile int n_taken, depth, deepest;
static bool nests;

static void taken(void *context, struct pv_trap_frame *frame)
{
    (void)frame;
    n_taken += *(int *)context;
    depth++;
    deepest = depth > deepest ? depth : deepest;
    if (nests) {
        nests = false;
        pv_interrupt_raise();
        pv_interrupts_enable();
        pv_interrupts_disable();
    }
    depth--;
}

static void show(const char *what)
{
    pv_printf("%s: %d, enabled %d\n", what, n_taken, pv_interrupts_enabled());
}

int main(void)
{
    int one = 1;
    show("at the start");
    pv_interrupt_raise();
    pv_printf("no such source: %d, %d\n", pv_interrupt_set((enum pv_source)99, taken, &one),
              pv_interrupt_set((enum pv_source)-1, taken, &one));
    pv_interrupt_mask((enum pv_source)77);
    pv_interrupt_unmask((enum pv_source)77);
    pv_printf("set: %d\n", pv_interrupt_set(PV_SOURCE_SELF, taken, &one));
    pv_interrupt_raise();
    show("raised, disabled");
    pv_interrupts_enable();
    show("enabled");
    pv_interrupt_raise();
    pv_printf("raised again: %d\n", n_taken);
    bool were_enabled = pv_interrupts_disable(), second = pv_interrupts_disable();
    pv_printf("were enabled: %d, then %d\n", were_enabled, second);
    pv_interrupt_raise();
    pv_interrupt_raise();
    pv_interrupts_restore(second);
    show("twice raised, still disabled");
    pv_interrupts_restore(were_enabled);
    show("restored: one of them is left");
    pv_interrupt_mask(PV_SOURCE_SELF);
    pv_interrupt_raise();
    pv_interrupt_raise();
    show("masked");
    pv_interrupt_unmask(PV_SOURCE_SELF);
    show("unmasked");
    pv_interrupts_disable();
    pv_interrupt_raise();
    pv_interrupts_wait();
    show("waited");
    nests = true;
    pv_interrupt_raise();
    pv_interrupts_wait();
    show("nested");
    pv_printf("deepest: %d\n", deepest);
    pv_printf("taken away: %d\n", pv_interrupt_set(PV_SOURCE_SELF, NULL, NULL));
    pv_interrupts_enable();
    pv_interrupt_raise();
    show("raised for nobody");
    return 0;
}
