/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Input that comes by the console's ring while its source is masked: output must not let it in. */
#include <pv/console.h>
#include <pv/console_ring.h>
#include <pv/cpu.h>
#include <pv/printf.h>

static volatile unsigned n_interrupts;

static void came(void *context, struct pv_trap_frame *frame)
{
    (void)context, (void)frame;
    n_interrupts++;
    while (pv_getc() >= 0)
        continue;
}

int main(void)
{
    pv_console_connect();
    pv_console_on_input(came, NULL);
    pv_interrupt_mask(PV_SOURCE_CONSOLE);
    pv_interrupts_enable();
    for (int i = 0; i < 20; i++) {
        uint64_t begun_ns = pv_time_ns();
        while (pv_time_ns() - begun_ns < 1000000)
            continue;
        pv_interrupts_disable(); /* as pv/console_ring.h wants it */
        pv_puts("busy");
        pv_interrupts_enable();
    }
    pv_printf("masked: %u\n", n_interrupts);
    pv_interrupts_disable();
    pv_interrupt_unmask(PV_SOURCE_CONSOLE);
    while (n_interrupts == 0)
        pv_interrupts_wait();
    pv_puts("unmasked");
    return 0;
}
