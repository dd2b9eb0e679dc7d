/* SPDX-License-Identifier: GPL-2.0-or-later */
/* POLL until a time, with interrupts off: no interrupt is needed for that. */
#include <pv/hypercall.h>
#include <pv/interrupt.h>
#include <pv/printf.h>

static uint64_t now_ns(void)
{
    struct pv_time now;
    pv_time_get(&now);
    return now.system_ns;
}

int main(void)
{
    pv_interrupts_disable();
    uint64_t begun_ns = now_ns();
    int64_t result = pv_poll(NULL, 0, begun_ns + 1000000);
    pv_printf("poll: %d after %u us\n", (int)result, (unsigned)(now_ns() - begun_ns) / 1000);
    return 0;
}
