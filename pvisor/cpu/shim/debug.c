/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's breakpoints, as far as the engine must help; what they mean is in pvisor/full/breakpoints.py.
 *
 * Before an instruction: a hook on its address ends the run there. RFLAGS.RF lets one instruction pass; it is kept as
 * the count of instructions at which it holds (v.rf_insns), so that it ends by itself.
 *
 * At data: the pages are not mapped. An instruction that faults on one runs by itself, with the pages open to it.
 */
#include "api.h"
#include "shadow.h"

/* REP, before an opcode that may be repeated. */
static bool is_repeated(struct engine *e, uint64_t address)
{
    uint8_t code[16];
    uint32_t n = fetch(e, address, code, sizeof code);
    bool repeats = false;
    for (uint32_t i = 0; i < n; i++) {
        repeats |= (code[i] & 0xfe) == 0xf2;
        if (!is_prefix(code[i], in_64bit_code(e)))
            return repeats && ((code[i] & 0xfc) == 0x6c || (code[i] & 0xfc) == 0xa4 || (code[i] & 0xfe) == 0xaa ||
                               (code[i] & 0xfc) == 0xac);
    }
    return false;
}

/* RF is set, or was at the first round of this repeated instruction. */
static bool may_pass(struct engine *e, uint64_t address, uint64_t count)
{
    struct debug *d = &e->debug;
    if (e->v.rf_insns != count && !(d->repeating == address && d->repeating_at == count))
        return false;
    d->repeating = is_repeated(e, address) ? address : 0;
    d->repeating_at = count + 1;
    return true;
}

static void on_breakpoint(uc_engine *uc, uint64_t address, uint32_t size, void *user)
{
    (void)uc;
    (void)size;
    struct engine *e = user;
    if (e->stopping)
        return;
    state_load(e);
    uint32_t rest = e->block.insns ? e->block.insns - insns_before(e, address) : 0;
    if (may_pass(e, address, e->v.insns - rest))
        return;
    end_window_step(e);
    follow_if(e);
    uncredit_from(e, address);
    uint64_t rip = rip_of(e, address);
    open_exit(e, PV_EXIT_EXCEPTION, rip, 0);
    pv_exit *x = &e->v.exit;
    x->vector = 1;
    x->error_code = 0;
    x->n_insn = 0;
    x->number = 0;
    for (uint32_t i = 0; i < 4; i++)
        x->number |= (e->debug.which >> i & 1 && e->debug.addresses[i] == address) ? 1u << i : 0;
    x->n_ops = 2;
    x->ops[0] = 1;
    x->ops[1] = 0;
    stop(e);
    state_store(e);
}

/* Between runs only. All translations are forgotten: those of these addresses lack the hook, or have one too many. */
void pv_set_breakpoints(pv_vcpu *v, const uint64_t *addresses, uint32_t which)
{
    struct engine *e = (struct engine *)v;
    struct debug *d = &e->debug;
    for (uint32_t i = 0; i < 4; i++)
        if (d->hooks[i])
            unicorn.hook_del(e->uc, d->hooks[i]);
    d->which = which;
    for (uint32_t i = 0; i < 4; i++) {
        uint64_t at = d->addresses[i] = addresses[i];
        bool wanted = which >> i & 1;
        for (uint32_t k = 0; k < i; k++) /* one hook an address */
            wanted &= !((which >> k & 1) && addresses[k] == at);
        d->hooks[i] = 0;
        if (wanted)
            unicorn.hook_add(e->uc, &d->hooks[i], UC_HOOK_CODE, (void *)on_breakpoint, e, at, at);
    }
    unicorn.ctl(e->uc, UC_CTL_WRITE(UC_CTL_TB_FLUSH, 0));
    state_load(e);
    *state32(e, e->at.old_exception) = (uint32_t)-1; /* Unicorn has looked where the hook was: it may have faulted */
    state_store(e);
}

/* The pages are mapped: lets one instruction at them. */
void pv_watch(pv_vcpu *v, const uint64_t *pages, uint32_t n_pages)
{
    struct engine *e = (struct engine *)v;
    struct debug *d = &e->debug;
    d->n_pages = n_pages < 4 ? n_pages : 4;
    memcpy(d->pages, pages, d->n_pages * sizeof *pages);
    v->watching = 1;
    uint32_t *rflags = state32(e, e->at.eflags);
    if (!(*rflags & RFLAGS_TF)) { /* else the guest steps by itself */
        *rflags |= RFLAGS_TF;
        e->window_step |= STEP_TF;
    }
    e->window_step |= STEP_WATCH;
    state_store(e);
}

static void close_pages(struct engine *e)
{
    const struct root *root = &e->shadow->roots[e->shadow->current];
    e->v.watching = 0;
    for (uint32_t i = 0; i < e->debug.n_pages; i++) {
        uint64_t *entry = shadow_entry(e, root, e->debug.pages[i]);
        if (!entry || !(*entry & ENTRY_P))
            continue;
        bool code = !(*entry & ENTRY_NX);
        *entry = 0;
        flush_page(e, e->debug.pages[i]);
        if (code)
            new_epoch(e);
    }
}

/* The instruction is done, or something has come between. */
void end_step(struct engine *e)
{
    if (e->window_step & STEP_WATCH)
        close_pages(e);
    if (e->window_step & STEP_TF)
        *state32(e, e->at.eflags) &= ~(uint32_t)RFLAGS_TF;
    e->window_step = 0;
}
