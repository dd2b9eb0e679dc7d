/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way into the guest and back. cffi lets go of Python's lock around pv_run. */
#include "api.h"
#include "shim.h"

#include <setjmp.h>
#include <signal.h>

/*
 * Unicorn's translator calls abort() over some code that no CPU would run (LOCK BTS of a register, 2.1.4). A guest must
 * not end the process by that: inside pv_run, SIGABRT leads back to it. It is raised on the thread that runs the guest.
 */
static __thread sigjmp_buf *way_back;
static struct sigaction before_abort;

static void on_abort(int signal)
{
    if (way_back)
        siglongjmp(*way_back, 1);
    sigaction(signal, &before_abort, NULL); /* none of ours */
    raise(signal);
}

void catch_aborts(void)
{
    /* Not blocked inside its handler, which is left by a jump. */
    struct sigaction action = {.sa_handler = on_abort, .sa_flags = SA_NODEFER}, now;
    if (sigaction(SIGABRT, NULL, &now) || now.sa_handler == on_abort)
        return;
    before_abort = now;
    sigaction(SIGABRT, &action, NULL);
}

void stop(struct engine *e)
{
    e->stopping = true;
    unicorn.emu_stop(e->uc);
}

static void answer(struct engine *e)
{
    pv_vcpu *v = &e->v;
    if (v->exit.reason == PV_EXIT_HYPERCALL && !v->exit.is_answered)
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

/* Nothing of the caller's is kept in registers over the jump back: this function has nothing to lose. */
static __attribute__((noinline)) uc_err emulate(struct engine *e)
{
    sigjmp_buf here, *volatile before = way_back;
    if (sigsetjmp(here, 0)) {
        way_back = before;
        e->n_aborts++;
        e->lost = true;
        return UC_ERR_OK;
    }
    way_back = &here;
    uc_err error = unicorn.emu_start(e->uc, e->v.regs->rip, 0, 0, 0);
    way_back = before;
    return error;
}

uint32_t pv_run(pv_vcpu *v)
{
    struct engine *e = (struct engine *)v;
    if (e->lost)
        return PV_EXIT_ENGINE_ABORT;
    pv_complete(v);
    refresh_limit(e);
    e->stopping = false;
    show_tsc(e);
    v->stop_in_hook = 0;
    state_store(e);
    uc_err error = emulate(e);
    if (unlikely(e->lost) && refuse_untranslatable(e))
        return PV_EXIT_INVALID_OPCODE;
    if (unlikely(e->lost)) {
        open_exit(e, PV_EXIT_ENGINE_ABORT, e->block_address, 0);
        return PV_EXIT_ENGINE_ABORT;
    }
    state_load(e);
    if (unlikely(uses_shown_frames(e)))
        restore_shown_frames(e);
    e->exit_started_ns = host_ns();
    if (e->stopping)
        return v->exit.in_hook ? PV_EXIT_HOOK_STOP : v->exit.reason;
    if (e->lane && !error)
        return lane_stopped(e);
    return engine_error(e, error ? unicorn.strerror(error) : "the engine stopped unasked");
}
