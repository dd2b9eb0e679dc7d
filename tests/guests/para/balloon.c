/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gives frames back, and takes them again, as the host's target asks. Ends when it has all of them again. */
#include <pv/hypercall.h>
#include <pv/interrupt.h>
#include <pv/event.h>
#include <pv/memory.h>
#include <pv/printf.h>
#include <pv/start.h>

#define N 64

static void told(void *context, struct pv_trap_frame *frame)
{
    (void)frame;
    ++*(volatile unsigned *)context;
}

int main(void)
{
    static pv_gpa_t frames[N];
    static volatile unsigned n_told;
    uint64_t n_all = pv_memory_bytes() / PV_PAGE_BYTES;
    int64_t port = pv_event_bind_virq(PV_VIRQ_BALLOON, 0);
    pv_event_set((uint32_t)port, told, (void *)&n_told);
    for (unsigned seen = 0; seen < 2;) {
        while (n_told == seen)
            pv_interrupts_wait();
        seen = n_told;
        uint64_t n_wanted = (uint64_t)pv_memory_target(), n_less = n_all - n_wanted;
        pv_printf("target: %lu frames less\n", (unsigned long)n_less);
        if (n_less > N)
            return 1;
        if (n_less > 0) {
            for (uint64_t i = 0; i < n_less; i++) {
                frames[i] = (uintptr_t)pv_page_alloc();
                pv_entry_set(frames[i], 0, PV_FLUSH_PAGE);
            }
            pv_printf("given back: %ld\n", (long)pv_memory_release(frames, (uint32_t)n_less));
            pv_printf("mapped again: %ld\n", (long)pv_entry_set(frames[0], frames[0] | 3 | 1ull << 63, 0));
        } else {
            pv_printf("taken: %ld\n", (long)pv_memory_populate(frames, N));
            pv_printf("mapped again: %ld\n", (long)pv_entry_set(frames[0], frames[0] | 3 | 1ull << 63, 0));
            pv_printf("zeroed: %d\n", *(volatile uint64_t *)frames[0] == 0);
        }
    }
    return 0;
}
