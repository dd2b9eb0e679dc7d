/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BLOCK and POLL in C: where there is something already, or where one that was woken runs next (turns.c). The twin is
 * para/power.py.
 */
#include "api.h"
#include "para/native/turns.h"

static bool block(struct engine *e)
{
    if (!cpu_of(e) || vcpu_info(e)->upcall_pending || !may_sleep(e))
        return false;
    vcpu_info(e)->upcall_mask = 0;
    return put_to_sleep(e);
}

static bool is_pending(struct engine *e, uint64_t shared, uint32_t port)
{
    const struct pv_shared_info *info = (const struct pv_shared_info *)(e->ram + shared);
    return info->pending[port / 64] >> port % 64 & 1;
}

static bool poll(struct engine *e)
{
    const uint64_t *args = e->v.exit.args;
    const pv_event_table *own = events_of(&e->v);
    uint32_t ports[PV_POLL_MAX];
    if (!own || !own->n_vcpus || args[1] > PV_POLL_MAX || args[2] != 0)
        return false;
    uint32_t n_ports = (uint32_t)args[1];
    if (n_ports && pv_copy_in(&e->v, args[0], ports, n_ports * sizeof ports[0]))
        return false;
    bool is_any = false;
    for (uint32_t i = 0; i < n_ports; i++) {
        if (ports[i] == 0 || ports[i] >= PV_EVENT_PORTS)
            return false;
        is_any |= is_pending(e, own->shared, ports[i]);
    }
    if (is_any) {
        e->v.exit.result = 0;
        return true;
    }
    if ((vcpu_info(e)->upcall_pending && !vcpu_info(e)->upcall_mask) || !may_sleep(e))
        return false;
    pv_poll *own_poll = &own->polls[e->v.vcpu_id];
    own_poll->is_polling = 1;
    own_poll->has_timer = 0;
    own_poll->n_ports = n_ports;
    memcpy(own_poll->ports, ports, n_ports * sizeof ports[0]);
    return put_to_sleep(e);
}

const struct native para_power_natives[] = {
    {"block", PV_EXIT_HYPERCALL, PV_HC_BLOCK, 0, block},
    {"poll", PV_EXIT_HYPERCALL, PV_HC_POLL, 0, poll},
};
const uint32_t n_para_power_natives = sizeof para_power_natives / sizeof para_power_natives[0];
