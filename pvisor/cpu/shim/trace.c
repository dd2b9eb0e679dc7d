/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every exit ends here, whoever served it: counted, answered, recorded. So both tiers leave the same trace. */
#include "api.h"
#include "shim.h"

#include <stdlib.h>
#include <time.h>

uint64_t host_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void record(struct engine *e)
{
    const pv_exit *x = &e->v.exit;
    if (e->n_records == N_RECORDS)
        return;
    pv_record *r = &e->records[e->n_records++];
    r->virtual_ns = x->virtual_ns;
    r->rip = x->rip;
    memcpy(r->ops, x->ops, sizeof r->ops);
    r->result = x->result;
    r->n_ops = (uint16_t)x->n_ops;
    r->vcpu_id = (uint16_t)e->v.vcpu_id;
    r->reason = (uint16_t)x->reason;
    r->outcome = (uint16_t)x->outcome;
    r->native = e->served_natively;
    r->host_ns = host_ns();
    if (unlikely(e->n_records > N_RECORDS - RECORD_SLACK))
        e->v.limit = e->limit_without_event = 0;
}

void complete_exit(struct engine *e)
{
    pv_vcpu *v = &e->v;
    pv_exit *x = &v->exit;
    e->exit_open = false;
    if (x->reason >= PV_EXIT_BUDGET) /* our own wish, no act of the guest: neither counted nor traced */
        return;
    pv_counter *counter = &v->counters[x->reason];
    counter->count++;
    v->exits_total++;
    if (e->served_natively) {
        counter->native++;
    } else {
        counter->python++;
        counter->python_wall_ns += host_ns() - e->exit_started_ns;
        v->insns += x->retired;
    }
    if (unlikely(e->records != NULL))
        record(e);
    if (unlikely(e->places != NULL))
        count_place(e);
    e->served_natively = false;
}

int pv_trace_start(pv_vcpu *v)
{
    struct engine *e = (struct engine *)v;
    if (!e->records)
        e->records = malloc(N_RECORDS * sizeof *e->records);
    return e->records ? 0 : -1;
}

const pv_record *pv_trace_records(pv_vcpu *v, uint32_t *n_records)
{
    struct engine *e = (struct engine *)v;
    *n_records = e->n_records;
    return e->records;
}

void pv_trace_clear(pv_vcpu *v)
{
    struct engine *e = (struct engine *)v;
    e->n_records = 0;
    refresh_limit(e);
}
