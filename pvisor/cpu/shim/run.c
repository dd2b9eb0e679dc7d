/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way into the guest and back. cffi lets go of Python's lock around pv_run. */
#include "api.h"
#include "shim.h"

void stop(struct engine *e)
{
    e->stopping = true;
    unicorn.emu_stop(e->uc);
}

static void answer(struct engine *e)
{
    pv_vcpu *v = &e->v;
    if (v->exit.reason == PV_EXIT_HYPERCALL)
        answer_hypercall(e);
    if (v->mirror_if) {
        uint32_t *rflags = state32(e, e->at.eflags);
        *rflags = (*rflags & ~0x200u) | (v->virtual_if ? 0x200u : 0);
    }
}

void pv_complete(pv_vcpu *v)
{
    struct engine *e = (struct engine *)v;
    if (!e->exit_open || v->exit.in_hook)
        return;
    answer(e);
    complete_exit(e);
}

static uint32_t engine_error(struct engine *e, const char *what)
{
    snprintf(e->v.error, sizeof e->v.error, "%s", what);
    open_exit(e, PV_EXIT_ENGINE_ERROR, e->v.regs->rip, 0);
    return PV_EXIT_ENGINE_ERROR;
}

uint32_t pv_run(pv_vcpu *v)
{
    struct engine *e = (struct engine *)v;
    pv_complete(v);
    refresh_limit(e);
    e->stopping = false;
    v->stop_in_hook = 0;
    state_store(e);
    uc_err error = unicorn.emu_start(e->uc, v->regs->rip, 0, 0, 0);
    state_load(e);
    e->exit_started_ns = host_ns();
    if (e->stopping)
        return v->exit.in_hook ? PV_EXIT_HOOK_STOP : v->exit.reason;
    if (e->lane && !error)
        return lane_stopped(e);
    return engine_error(e, error ? unicorn.strerror(error) : "the engine stopped unasked");
}
