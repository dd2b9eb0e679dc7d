/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IN, OUT, CPUID and RDTSC: served inside their hooks, natively or by a callback into Python, because Unicorn
 * cannot stop at them. It would run on to the end of the block.
 */
#include "api.h"
#include "shim.h"

/* Callback into Python (cffi). */
void pv_on_hook_exit(void *owner);

static native_handler *handler_of(struct engine *e, uint32_t reason)
{
    if (reason != PV_EXIT_IO_IN && reason != PV_EXIT_IO_OUT)
        return e->native[reason];
    uint32_t found = e->native_ioport[reason == PV_EXIT_IO_OUT][e->v.exit.ioport];
    return found ? e->native_io[found - 1] : NULL;
}

/* The exit's time is that of its instruction, though the rest of the block has been credited, too. */
void serve_in_hook(struct engine *e, uint32_t reason)
{
    follow_if(e);
    pv_exit *x = &e->v.exit;
    uint64_t rip = e->v.regs->rip, credited = e->v.insns;
    uint32_t rest = e->block.insns - insns_before(e, linear_of(e, rip));
    e->v.insns = credited - rest;
    open_exit(e, reason, rip, 0);
    x->in_hook = 1;
    native_handler *handler = handler_of(e, reason);
    if (handler && serve_natively(e, handler)) {
        e->served_natively = true;
    } else {
        e->exit_started_ns = host_ns();
        pv_on_hook_exit(e->v.owner);
        refresh_limit(e); /* a device may have raised an event */
    }
    if (reason == PV_EXIT_IO_IN || reason == PV_EXIT_IO_OUT) {
        x->n_ops = 3;
        x->ops[0] = x->ioport;
        x->ops[1] = x->size_bytes;
        x->ops[2] = x->value; /* for IN: the answer */
    } else if (reason == PV_EXIT_MMIO) {
        x->n_ops = 4;
        x->ops[0] = x->address;
        x->ops[1] = x->size_bytes;
        x->ops[2] = x->value;
        x->ops[3] = x->is_write;
    }
    complete_exit(e);
    if (e->v.stop_in_hook) {
        e->v.insns = credited - rest + 1;
        stop(e);
    } else {
        e->v.insns = credited;
    }
}

uint32_t on_in(uc_engine *uc, uint32_t ioport, int size, void *user)
{
    (void)uc;
    struct engine *e = user;
    pv_exit *x = &e->v.exit;
    if (e->stopping)
        return 0;
    state_load(e);
    if (unlikely(refuse_user_io(e)))
        return UINT32_MAX;
    x->ioport = ioport & 0xffff;
    x->size_bytes = (uint32_t)size;
    x->value = 0;
    serve_in_hook(e, PV_EXIT_IO_IN);
    return (uint32_t)x->value;
}

void on_out(uc_engine *uc, uint32_t ioport, int size, uint32_t value, void *user)
{
    (void)uc;
    struct engine *e = user;
    pv_exit *x = &e->v.exit;
    if (e->stopping)
        return;
    state_load(e);
    if (unlikely(refuse_user_io(e)))
        return;
    x->ioport = ioport & 0xffff;
    x->size_bytes = (uint32_t)size;
    x->value = size == 4 ? value : value & ((1u << 8 * size) - 1);
    serve_in_hook(e, PV_EXIT_IO_OUT);
}

int on_cpuid(uc_engine *uc, void *user)
{
    (void)uc;
    struct engine *e = user;
    if (e->stopping)
        return 1;
    state_load(e);
    serve_in_hook(e, PV_EXIT_CPUID);
    state_store(e);
    return 1;
}

/* The virtual CPU has a TSC of its own: nobody is asked. Of the block that is credited, the rest has not run yet. */
static void read_tsc(struct engine *e, bool with_number)
{
    uint64_t *gpr = e->v.regs->gpr;
    uint64_t rest = e->block.insns - insns_before(e, linear_of(e, e->v.regs->rip));
    uint64_t tsc = e->v.insns - rest + e->v.idle_ns;
    gpr[RAX] = (uint32_t)tsc;
    gpr[RDX] = tsc >> 32;
    if (with_number)
        gpr[RCX] = e->v.vcpu_id; /* IA32_TSC_AUX */
}

int on_rdtsc(uc_engine *uc, void *user)
{
    (void)uc;
    struct engine *e = user;
    if (e->stopping)
        return 1;
    state_load(e);
    uint8_t copy[2] = {0};
    const uint8_t *code = code_at(e, linear_of(e, e->v.regs->rip));
    if (unlikely(!code)) {
        fetch(e, linear_of(e, e->v.regs->rip), copy, 2);
        code = copy;
    }
    if (e->v.tsc_runs) {
        read_tsc(e, code[1] == 0x01);
        state_store(e);
        return 1;
    }
    e->v.exit.value = code[1] == 0x01; /* RDTSCP is 0F 01 F9, RDTSC 0F 31 */
    serve_in_hook(e, PV_EXIT_RDTSC);
    state_store(e);
    return 1;
}
