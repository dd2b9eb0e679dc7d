/* SPDX-License-Identifier: MIT */
/*
 * From bits in the shared page to handlers.
 *
 * The hypervisor sets bits from the port's upwards (pending, then pending_words, then upcall_pending), so they are
 * cleared from the top downwards, each before what it stands for is looked at. Then a signal that comes in between is
 * either seen, or has set upcall_pending again and brings another upcall: none is lost.
 */
#include <stddef.h>

#include <pv/error.h>

#include "event.h"

#define WORD_BITS 64

struct target {
    pv_event_handler *handler;
    void *context;
};

static struct target targets[PV_EVENT_PORTS];

static bool is_port(uint32_t port)
{
    return port > 0 && port < PV_EVENT_PORTS;
}

static uint64_t bit_of(uint32_t port)
{
    return 1ull << port % WORD_BITS;
}

int pv_event_set(uint32_t port, pv_event_handler *handler, void *context)
{
    if (!is_port(port))
        return -PV_EINVAL;
    if (handler != NULL)
        pv_upcall_start();
    pv_event_mask(port); /* handler and context change together */
    targets[port] = (struct target){handler, context};
    return handler != NULL ? (int)pv_event_unmask(port) : 0;
}

void pv_event_mask(uint32_t port)
{
    if (is_port(port))
        __atomic_fetch_or(&pv_shared->mask[port / WORD_BITS], bit_of(port), __ATOMIC_SEQ_CST);
}

bool pv_event_take(uint32_t port)
{
    if (!is_port(port))
        return false;
    uint64_t bit = bit_of(port);
    return __atomic_fetch_and(&pv_shared->pending[port / WORD_BITS], ~bit, __ATOMIC_SEQ_CST) & bit;
}

static void dispatch_word(uint32_t word, struct pv_trap_frame *frame)
{
    uint64_t bits = __atomic_load_n(&pv_shared->pending[word], __ATOMIC_SEQ_CST);
    for (; bits != 0; bits &= bits - 1) {
        uint32_t port = word * WORD_BITS + (uint32_t)__builtin_ctzll(bits);
        if (__atomic_load_n(&pv_shared->mask[word], __ATOMIC_SEQ_CST) & bit_of(port))
            continue; /* masked, by an earlier handler perhaps: it stays pending */
        if (!pv_event_take(port))
            continue; /* a handler that enabled interrupts was interrupted, and this one served then */
        if (targets[port].handler != NULL)
            targets[port].handler(targets[port].context, frame);
    }
}

void pv_event_dispatch(struct pv_trap_frame *frame)
{
    struct pv_vcpu_info *vcpu = &pv_shared->vcpu[0];
    __atomic_store_n(&vcpu->upcall_pending, 0, __ATOMIC_SEQ_CST);
    uint64_t words = __atomic_load_n(&vcpu->pending_words, __ATOMIC_SEQ_CST);
    for (; words != 0; words &= words - 1) {
        uint32_t word = (uint32_t)__builtin_ctzll(words);
        __atomic_fetch_and(&vcpu->pending_words, ~(1ull << word), __ATOMIC_SEQ_CST);
        if (word < sizeof pv_shared->pending / sizeof pv_shared->pending[0])
            dispatch_word(word, frame);
    }
}

void pv_event_poll(void)
{
    pv_event_dispatch(NULL);
}
