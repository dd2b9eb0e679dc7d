/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IN, OUT, CPUID and RDTSC: served inside their hooks, natively or by a callback into Python, because Unicorn
 * cannot stop behind them. It would run on to the end of the block.
 */
#include "api.h"
#include "selftest.h"

enum { VECTOR_GP = 13, CR4_TSD = 1 << 2 };

/* Callback into Python (cffi). */
void pv_on_hook_exit(void *owner);

static native_handler *handler_of(struct engine *e, uint32_t reason)
{
    if (reason != PV_EXIT_IO_IN && reason != PV_EXIT_IO_OUT)
        return e->native[reason];
    uint32_t found = e->native_ioport[reason == PV_EXIT_IO_OUT][e->v.exit.ioport];
    return found ? e->native_io[found - 1] : NULL;
}

static void set_tsd(struct engine *e, bool set)
{
    uint64_t cr4 = 0;
    read_register(e, UC_X86_REG_CR4, &cr4);
    cr4 = set ? cr4 | CR4_TSD : cr4 & ~(uint64_t)CR4_TSD;
    write_register(e, UC_X86_REG_CR4, &cr4);
    e->tsc_hidden = set;
}

/*
 * The run ends behind this instruction. An engine that has been told to stop runs on to the end of the block, and asks only
 * the first of its hooks: RDTSC would show the host's time. So the block is left by an exception, of which nobody hears.
 * Where none can be raised, RDTSC is made to fault: with CR4.TSD, at any ring but 0.
 */
static void stop_in_hook(struct engine *e)
{
    uint8_t code[16];
    uint64_t linear = linear_of(e, e->v.regs->rip);
    stop(e);
    if (!e->lane && !can_raise(e)) {
        set_tsd(e, true);
        return;
    }
    uint32_t n = fetch(e, linear, code, sizeof code);
    e->v.regs->rip += instruction_length(code, n, in_64bit_code(e) ? 2 : current_hflags(e) & HF_CS32 ? 1 : 0);
    if (e->lane)
        lane_raise(e, VECTOR_GP);
    probed.raise(e->state, VECTOR_GP, 0); /* neither comes back */
}

/* Before the next run. */
void show_tsc(struct engine *e)
{
    if (unlikely(e->tsc_hidden))
        set_tsd(e, false);
}

/* The exit's time is that of its instruction, though the rest of the block has been credited, too. */
void serve_in_hook(struct engine *e, uint32_t reason)
{
    follow_if(e);
    pv_exit *x = &e->v.exit;
    uint64_t rip = e->v.regs->rip, credited = e->v.insns;
    uint32_t rest = e->block.insns - insns_before(e, linear_of(e, rip));
    uint64_t pause_ns = pause_ahead(e, rest);
    e->v.idle_ns -= pause_ns;
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
        stop_in_hook(e);
    } else {
        e->v.idle_ns += pause_ns;
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
    uint64_t tsc = e->v.insns - rest + e->v.idle_ns - pause_ahead(e, rest);
    gpr[RAX] = (uint32_t)tsc;
    gpr[RDX] = tsc >> 32;
    if (with_number)
        gpr[RCX] = e->v.vcpu_id; /* IA32_TSC_AUX */
}

/* The plain case, which kernels' loops of waiting are made of: served natively, and nobody records or times it. */
static bool serve_rdtsc_quickly(struct engine *e)
{
    pv_exit *x = &e->v.exit;
    native_handler *handler = e->native[PV_EXIT_RDTSC];
    if (!handler || e->records || e->v.time_exits)
        return false;
    uint32_t rest = e->block.insns - insns_before(e, linear_of(e, e->v.regs->rip));
    x->virtual_ns = e->v.insns - rest + e->v.idle_ns - pause_ahead(e, rest);
    if (!handler(e))
        return false;
    e->v.counters[PV_EXIT_RDTSC].count++;
    e->v.counters[PV_EXIT_RDTSC].native++;
    e->v.exits_total++;
    return true;
}

static int rdtsc(struct engine *e, bool with_number)
{
    if (e->stopping)
        return 1;
    state_load(e);
    if (e->v.tsc_runs) {
        read_tsc(e, with_number);
    } else {
        e->v.exit.value = with_number;
        if (!serve_rdtsc_quickly(e))
            serve_in_hook(e, PV_EXIT_RDTSC);
    }
    state_store(e);
    return 1;
}

int on_rdtsc(uc_engine *uc, void *user)
{
    (void)uc;
    return rdtsc(user, false);
}

int on_rdtscp(uc_engine *uc, void *user)
{
    (void)uc;
    return rdtsc(user, true);
}
