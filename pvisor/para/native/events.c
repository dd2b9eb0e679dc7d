/* SPDX-License-Identifier: GPL-2.0-or-later */
/* EVENT_SEND between domains, and of a domain to itself, in C. The twin is para/events.py, which knows all the rest. */
#include "para/native/turns.h"

enum { WORD_BITS = 64 };

static bool polls(const pv_poll *poll, uint32_t port)
{
    for (uint32_t i = 0; poll->is_polling && i < poll->n_ports; i++)
        if (poll->ports[i] == port)
            return true;
    return false;
}

/*
 * Who sleeps, and is woken by a signal of `port`, which brings an upcall to the vCPU `told` (-1: to none). False where
 * that is not one vCPU at most, or where only Python can wake it.
 */
static bool find_sleeper(struct engine *e, const pv_event_table *to, uint32_t port, int64_t told, pv_runner **sleeper)
{
    *sleeper = NULL;
    for (uint32_t i = 0; i < to->n_vcpus; i++) {
        pv_runner *runner = runner_of(to->vcpus[i]);
        const pv_poll *poll = &to->polls[i];
        if (!runner)
            return false;
        if (!runner->is_asleep || !(i == told || polls(poll, port)))
            continue;
        if (*sleeper || (poll->is_polling && poll->has_timer) || !may_wake(e, runner))
            return false;
        *sleeper = runner;
    }
    return true;
}

static bool signal_port(struct engine *e, pv_event_table *to, uint32_t port)
{
    struct engine *first = (struct engine *)to->vcpus[0];
    struct pv_shared_info *shared = (struct pv_shared_info *)(first->ram + to->shared);
    uint32_t vcpu_id = to->vcpu_ids[port], word = port / WORD_BITS;
    struct pv_vcpu_info *vcpu = &shared->vcpu[vcpu_id];
    uint64_t bit = 1ull << port % WORD_BITS;
    bool is_new = !(shared->pending[word] & bit), is_open = is_new && !(shared->mask[word] & bit);
    bool is_told = is_open && !vcpu->upcall_pending && !vcpu->upcall_mask;
    pv_runner *sleeper;
    if (!find_sleeper(e, to, port, is_told ? (int64_t)vcpu_id : -1, &sleeper))
        return false;
    shared->pending[word] |= bit;
    if (is_open) {
        vcpu->pending_words |= 1ull << word;
        vcpu->upcall_pending = 1;
    }
    if (is_told) {
        to->vcpus[vcpu_id]->event_pending = 1;
        refresh_limit(e);
    }
    if (sleeper) {
        pv_poll *poll = &to->polls[sleeper->vcpu->vcpu_id];
        if (polls(poll, port))
            poll->is_polling = 0;
        wake(e, sleeper);
    }
    return true;
}

static bool send(struct engine *e)
{
    uint64_t port = e->v.exit.args[0];
    const pv_event_table *own = events_of(&e->v);
    pv_event_table *to = own && port < PV_EVENT_PORTS ? own->receivers[port] : NULL;
    if (!to || !to->n_vcpus || !signal_port(e, to, own->remote_ports[port]))
        return false;
    e->v.exit.result = 0;
    return true;
}

const struct native para_events_natives[] = {
    {"event_send", PV_EXIT_HYPERCALL, PV_HC_EVENT_SEND, 0, send},
};
const uint32_t n_para_events_natives = sizeof para_events_natives / sizeof para_events_natives[0];
