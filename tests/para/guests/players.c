/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain of several that signal one another, wait and compute at random. Command line: its number from 1, how many there
 * are, how many vCPUs it has, rounds, seed. It prints what it has seen of results, times and steal, as one number a vCPU.
 */
#include <pv/hypercall.h>
#include <pv/printf.h>
#include <pv/start.h>

#include "../../guests/arguments.h"

enum { MOST_PORTS = 16, PERIOD_NS = 130000 };

extern struct pv_shared_info *pv_shared;
extern void second_entry(void);
void play(uint64_t vcpu_id);

static uint32_t ports[MOST_PORTS], n_ports, timer_ports[2], n_vcpus;
static unsigned long n_rounds, seed;
static uint64_t seen[2];
static volatile uint64_t is_over;
static unsigned char second_stack[4096] __attribute__((aligned(16)));

__asm__(".text\n.globl second_entry\nsecond_entry:\n    call play\n    ud2\n");

static uint64_t random_of(uint64_t *state, uint64_t n)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % n;
}

/* Without a call: what is served in C is to meet as little of Python as it can. */
static uint64_t time_now(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static void see(uint64_t vcpu_id, uint64_t what)
{
    seen[vcpu_id] = (seen[vcpu_id] ^ what) * 1099511628211u;
}

static void spin(uint64_t n)
{
    for (volatile uint64_t i = 0; i < n; i++)
        ;
}

/* Up to three ports, or none; the own timer's is among them where no time ends it. */
static int64_t poll_some(uint64_t vcpu_id, uint64_t *state)
{
    uint32_t asked[4], n = (uint32_t)random_of(state, 4);
    for (uint32_t i = 0; i < n; i++)
        asked[i] = ports[random_of(state, n_ports)];
    if (random_of(state, 4) == 0)
        return pv_poll(asked, n, time_now() + random_of(state, 200000));
    asked[n] = timer_ports[vcpu_id];
    int64_t result = pv_poll(asked, n + 1, 0);
    for (uint32_t i = 0; i <= n; i++)
        __atomic_fetch_and(&pv_shared->pending[0], ~(1ull << asked[i]), __ATOMIC_SEQ_CST);
    return result;
}

static int64_t block(uint64_t vcpu_id)
{
    struct pv_vcpu_info *vcpu = &pv_shared->vcpu[vcpu_id];
    pv_event_unmask(timer_ports[vcpu_id]);
    int64_t result = pv_block();
    vcpu->upcall_mask = 1;
    vcpu->pending_words = 0;
    vcpu->upcall_pending = 0;
    pv_shared->pending[0] &= ~(1ull << timer_ports[vcpu_id]);
    return result;
}

/* Signals, each followed by a wait for an answer. */
static int64_t talk(uint64_t vcpu_id, uint32_t port, uint64_t n)
{
    const uint32_t asked[2] = {port, timer_ports[vcpu_id]};
    int64_t results = 0;
    while (n-- > 0) {
        results = results * 3 + pv_event_send(port);
        results = results * 3 + pv_poll(asked, 2, 0);
        results += (int64_t)(pv_shared->pending[0] << 8);
        pv_shared->pending[0] &= ~(1ull << port | 1ull << asked[1]);
    }
    return results;
}

static int64_t act(uint64_t vcpu_id, uint64_t *state)
{
    uint32_t port = ports[random_of(state, n_ports)];
    struct pv_vcpu_status status;
    switch (random_of(state, 15)) {
    case 0: case 1: case 2:
        return pv_event_send(port);
    case 3: case 4: case 5: case 6:
        return poll_some(vcpu_id, state);
    case 7:
        return block(vcpu_id);
    case 8:
        return pv_yield();
    case 9:
        spin(random_of(state, 30000));
        return 0;
    case 10:
        pv_vcpu_query((uint32_t)random_of(state, n_vcpus), &status);
        return (int64_t)(status.state + status.run_ns * 3 + status.steal_ns * 5);
    case 11:
    case 12:
    case 13:
        return talk(vcpu_id, port, random_of(state, 10));
    default:
        if (random_of(state, 2))
            return pv_event_unmask(port);
        __atomic_fetch_or(&pv_shared->mask[0], 1ull << port, __ATOMIC_SEQ_CST);
        return 0;
    }
}

void play(uint64_t vcpu_id)
{
    uint64_t state = seed * 2 + vcpu_id;
    int64_t port = pv_event_bind_virq(PV_VIRQ_TIMER, (uint32_t)vcpu_id);
    timer_ports[vcpu_id] = (uint32_t)port;
    pv_timer_periodic(PERIOD_NS);
    for (unsigned long i = 0; i < n_rounds; i++) {
        see(vcpu_id, (uint64_t)act(vcpu_id, &state));
        see(vcpu_id, time_now());
        see(vcpu_id, pv_shared->vcpu[vcpu_id].steal_ns);
        see(vcpu_id, pv_shared->pending[0]);
    }
    if (vcpu_id == 0)
        return;
    is_over = 1;
    pv_vcpu_down((uint32_t)vcpu_id);
}

/* Each has a port to each other; of two, the one with the lower number makes it, and before any other port. */
static void meet(uint32_t self, uint32_t n_domains)
{
    for (uint32_t other = self + 1; other <= n_domains; other++)
        ports[n_ports++] = (uint32_t)pv_event_alloc(other);
    for (uint32_t other = 1; other < self; other++) {
        int64_t port;
        while ((port = pv_event_bind(other, self - other)) < 0)
            pv_yield();
        ports[n_ports++] = (uint32_t)port;
    }
    for (uint32_t i = 0; i < n_vcpus; i++)
        ports[n_ports++] = (uint32_t)pv_event_bind_ipi(i);
}

int main(void)
{
    n_vcpus = (uint32_t)argument(2, 1);
    n_rounds = argument(3, 100);
    seed = argument(4, 1) * 64 + argument(0, 1) * 4;
    meet((uint32_t)argument(0, 1), (uint32_t)argument(1, 1));
    if (n_vcpus > 1) {
        struct pv_vcpu_context second = {(uintptr_t)second_entry, (uintptr_t)(second_stack + sizeof second_stack), 1, 0};
        pv_vcpu_up(1, &second);
    }
    play(0);
    while (n_vcpus > 1 && !is_over)
        block(0);
    pv_printf("%lx %lx\n", (unsigned long)seen[0], (unsigned long)seen[1]);
    return 0;
}
