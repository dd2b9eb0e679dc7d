/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One vCPU wakes another and blocks, and the other runs: the way of a message and its answer, without Python. That is
 * done only where the scheduler has no choice: nobody else waits for a turn, and nothing is due. Then it is told later
 * what has happened (vmm/handover.py), and decides as if it had seen it.
 */
#include "api.h"
#include "para/native/turns.h"

enum { OUTCOME_BLOCK = 2 }; /* domain/outcome.py */

static uint64_t now_of(const pv_vcpu *v)
{
    return v->insns + v->idle_ns;
}

bool may_wake(struct engine *e, const pv_runner *sleeper)
{
    const pv_runner *self = runner_of(&e->v);
    const pv_turns *t = self ? self->cpu : NULL;
    return t && sleeper->cpu == t && !t->woken && !t->n_waiting && !sleeper->has_cap;
}

/* It runs when this vCPU blocks. Until then Python is asked no later than when it might end this turn for it. */
void wake(struct engine *e, pv_runner *sleeper)
{
    const pv_runner *self = runner_of(&e->v);
    uint64_t end_ns = self->since_ns + self->cpu->rate_limit_ns;
    sleeper->is_asleep = 0;
    sleeper->since_ns = now_of(&e->v);
    self->cpu->woken = sleeper;
    if (end_ns < e->v.slice_ns)
        e->v.slice_ns = end_ns;
    refresh_limit(e);
}

/* May this vCPU block without Python? */
bool may_sleep(struct engine *e)
{
    const pv_runner *self = runner_of(&e->v);
    const pv_turns *t = self ? self->cpu : NULL;
    return t && t->current == self && t->woken && !t->n_waiting && now_of(&e->v) < t->stop_ns && !event_due(e) &&
           !e->v.debugging && !(*state32(e, e->at.eflags) & RFLAGS_TF);
}

/* It blocks, in a hypercall that is completed when it runs again. False, since the run stops: the handler's result. */
bool put_to_sleep(struct engine *e)
{
    e->v.exit.result = 0;
    e->v.exit.outcome = OUTCOME_BLOCK;
    e->served_natively = true;
    runner_of(&e->v)->cpu->hands_over = 1;
    return false;
}

static void end_turn(pv_turns *t, pv_runner *runner, uint64_t now_ns)
{
    t->last = runner;
    t->last_ran_ns = now_ns - runner->since_ns;
    runner->ran_ns += t->last_ran_ns;
    runner->is_asleep = 1;
    if (!runner->has_ended_turns) {
        runner->has_ended_turns = 1;
        runner->next = t->ended;
        t->ended = runner;
    }
}

/* Of the instructions that the domain's vCPUs may retire together, this one may use what the others have left. */
static void share_budget(pv_vcpu *v, const pv_event_table *domain, uint64_t max_insns)
{
    uint64_t used = 0;
    for (uint32_t i = 0; i < domain->n_vcpus; i++)
        used += domain->vcpus[i]->insns;
    v->budget = v->insns + (used < max_insns ? max_insns - used : 0);
}

static void begin_turn(pv_turns *t, pv_runner *runner, uint64_t now_ns)
{
    pv_vcpu *v = runner->vcpu;
    const pv_event_table *events = events_of(v);
    runner->steal_ns += now_ns - runner->since_ns;
    runner->since_ns = now_ns;
    if (now_of(v) < now_ns)
        v->idle_ns += now_ns - now_of(v);
    v->slice_ns = t->stop_ns;
    if (runner->max_insns)
        share_budget(v, events, runner->max_insns);
    events->polls[v->vcpu_id].is_polling = 0;
    vcpu_info((struct engine *)v)->steal_ns = runner->steal_ns;
    t->current = runner;
}

uint32_t pv_run_turns(pv_turns *t, pv_vcpu *v)
{
    for (t->current = runner_of(v);; v = t->current->vcpu) {
        uint32_t reason = pv_run(v);
        if (!t->hands_over)
            return t->ended || t->woken ? reason | PV_TURNED : reason;
        uint64_t now_ns = now_of(v);
        pv_runner *next = t->woken;
        t->hands_over = 0;
        t->woken = NULL;
        end_turn(t, t->current, now_ns);
        begin_turn(t, next, now_ns);
    }
}
