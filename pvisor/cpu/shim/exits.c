/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From Unicorn's hooks to exits. Each hook says what happened in one pv_exit; then a native handler
 * serves it here, or the run stops and Python does. What cannot stop is in intercepts.c.
 */
#include "api.h"
#include "shim.h"

enum { HLT = 0xf4 };
enum { VECTOR_DB = 1, VECTOR_UD = 6, VECTOR_GP = 13, VECTOR_PF = 14, HYPERCALL_VECTOR = 0x82 };
enum { SAMPLE_EVERY = 64 };

/* --- who serves it? -------------------------------------------------------------------------------- */

/* Lets a native handler serve the exit, and takes a sample of its time where that is wanted. */
bool serve_natively(struct engine *e, native_handler *handler)
{
    pv_vcpu *v = &e->v;
    if (unlikely(v->time_exits)) {
        const pv_counter *fills = &v->counters[PV_EXIT_SHADOW_FILL]; /* page faults before they are served */
        uint64_t n = v->counters[v->exit.reason].native + (v->exit.reason == PV_EXIT_PAGE_FAULT ? fills->native : 0);
        if (n % SAMPLE_EVERY == 0) {
            uint64_t begin = host_ns();
            bool served = handler(e);
            pv_counter *counter = &v->counters[v->exit.reason];
            counter->native_sample_ns += host_ns() - begin;
            counter->native_samples++;
            return served;
        }
    }
    return handler(e);
}

/*
 * Native when there is a handler and it wants to; else the run stops and Python gets the exit. So it does while the
 * guest steps or has breakpoints: the debug exception after an emulated instruction is Python's work.
 */
void dispatch(struct engine *e, native_handler *handler)
{
    if (handler && !e->v.debugging && !(*state32(e, e->at.eflags) & RFLAGS_TF) && serve_natively(e, handler)) {
        e->served_natively = true;
        complete_exit(e);
    } else {
        stop(e);
    }
}

/*
 * The bytes of the exiting instruction: Python's decoder needs them, and native handlers of #GP and #UD. Where a
 * patch has trapped, its first byte is the guest's own.
 */
static void read_code(struct engine *e, uint64_t linear, bool is_privileged)
{
    pv_exit *x = &e->v.exit;
    const uint8_t *code = code_at(e, linear);
    x->n_insn = code ? 16 : fetch(e, linear, x->insn, 16);
    if (likely(code != NULL))
        memcpy(x->insn, code, 16);
    if (is_privileged && x->insn[0] == HLT)
        x->insn[0] = original_byte(e, linear, code);
}

/* --- exceptions and INT n -------------------------------------------------------------------------- */

static void hypercall(struct engine *e, uint64_t rip, uint64_t next_rip)
{
    pv_exit *x = &e->v.exit;
    const uint64_t *gpr = e->v.regs->gpr;
    open_exit(e, PV_EXIT_HYPERCALL, rip, next_rip);
    x->number = gpr[RAX] & 0xffffffffu;
    x->args[0] = gpr[RDI];
    x->args[1] = gpr[RSI];
    x->args[2] = gpr[RDX];
    x->args[3] = gpr[R10];
    x->args[4] = gpr[R8];
    x->is_answered = 0;
    if (unlikely(e->records != NULL)) {
        x->n_ops = 6;
        x->ops[0] = x->number;
        memcpy(x->ops + 1, x->args, sizeof x->args);
    }
    native_handler *handler = x->number < 256 ? e->native_hypercall[x->number] : NULL;
    bool is_stepping = *state32(e, e->at.eflags) & RFLAGS_TF; /* the engine looks at TF when its hook returns */
    if (handler && likely(!is_stepping) && serve_natively(e, handler)) {
        if (likely(!x->is_answered))
            answer_hypercall(e);
        e->served_natively = true;
        complete_exit(e);
    } else {
        stop(e);
    }
}

static bool in_hypercall_page(const struct engine *e, uint64_t rip)
{
    return rip - e->v.hypercall_page < e->v.hypercall_page_bytes;
}

static void soft_int(struct engine *e, uint32_t vector, uint64_t next_rip)
{
    /* The engine has moved RIP past the instruction: INT n has two bytes, INT3 and INTO have one. */
    if (vector == HYPERCALL_VECTOR && in_hypercall_page(e, next_rip - 2)) {
        hypercall(e, next_rip - 2, next_rip);
        return;
    }
    uint8_t copy[2] = {0};
    const uint8_t *code = code_at(e, linear_of(e, next_rip - 2));
    if (unlikely(!code)) {
        fetch(e, linear_of(e, next_rip - 2), copy, 2);
        code = copy;
    }
    bool two = code[0] == 0xcd && code[1] == vector;
    uint64_t rip = next_rip - (two ? 2 : 1);
    uncredit_from(e, linear_of(e, rip)); /* it retires when its handler is entered; INTO may stand in mid-block */
    open_exit(e, PV_EXIT_SOFT_INT, rip, next_rip);
    e->v.exit.vector = vector;
    e->v.exit.error_code = 0;
    e->v.exit.n_ops = 1;
    e->v.exit.ops[0] = vector;
    dispatch(e, e->native[PV_EXIT_SOFT_INT]);
}

/* What guest user code may do with the virtual CPU; all else that is privileged is its #GP (SDM 3A 5.9). */
static bool user_may(uint32_t reason)
{
    switch (reason) {
    case PV_EXIT_SEGMENT_LOAD: case PV_EXIT_FAR_TRANSFER: case PV_EXIT_IRET:
    case PV_EXIT_CLI: case PV_EXIT_STI: /* as IOPL says */
    case PV_EXIT_SYSRET:                /* #UD comes before #GP */
    case PV_EXIT_PUSHF: case PV_EXIT_POPF: case PV_EXIT_DESCRIPTOR_STORE: case PV_EXIT_SMSW:
    case PV_EXIT_SEGMENT_QUERY: case PV_EXIT_USER_IO: case PV_EXIT_USER_RDTSC:
        return true;
    default:
        return false;
    }
}

static uint32_t reason_of(struct engine *e, uint32_t vector, uint32_t error, const uint8_t *code, uint32_t n)
{
    switch (vector) {
    case VECTOR_PF: return PV_EXIT_PAGE_FAULT;
    case VECTOR_UD: return PV_EXIT_INVALID_OPCODE;
    case VECTOR_GP: break;
    default: return PV_EXIT_EXCEPTION;
    }
    uint32_t reason = classify(code, n, in_64bit_code(e));
    bool takes_selector = reason == PV_EXIT_SEGMENT_LOAD || reason == PV_EXIT_FAR_TRANSFER || reason == PV_EXIT_IRET;
    if (reason == PV_EXIT_INVALID_OPCODE)
        return error ? PV_EXIT_GENERAL_PROTECTION : reason;
    if ((error && !takes_selector) || (in_user_code(e) && !user_may(reason)))
        return PV_EXIT_GENERAL_PROTECTION;
    return reason;
}

/* Length of CLI, STI, HLT, PUSHF or POPF: its prefixes and one byte. */
static uint32_t length_of_simple(const uint8_t *insn)
{
    uint32_t n = 0;
    while (insn[n] != 0xfa && insn[n] != 0xfb && insn[n] != 0xf4 && (insn[n] & 0xfe) != 0x9c)
        n++;
    return n + 1;
}

static bool is_simple(uint32_t reason)
{
    return reason <= PV_EXIT_HLT || reason == PV_EXIT_PUSHF || reason == PV_EXIT_POPF;
}

static __attribute__((noinline)) void fault(struct engine *e, uint32_t vector, uint32_t error)
{
    pv_exit *x = &e->v.exit;
    if (unlikely(leave_virtual_8086(e))) {
        vector = VECTOR_GP;
        error = 0;
    }
    uint64_t rip = e->v.regs->rip;
    uint64_t linear = linear_of(e, rip);
    uncredit_from(e, linear);
    x->n_insn = 0;
    if (vector == VECTOR_GP || vector == VECTOR_UD)
        read_code(e, linear, vector == VECTOR_GP && !error);
    uint32_t reason = reason_of(e, vector, error, x->insn, x->n_insn);
    open_exit(e, reason, rip, is_simple(reason) ? rip + length_of_simple(x->insn) : 0);
    x->number = 0;
    x->vector = reason == PV_EXIT_INVALID_OPCODE ? VECTOR_UD : vector;
    x->error_code = reason == PV_EXIT_INVALID_OPCODE ? 0 : error;
    /* An emulation has operands of its own. */
    x->n_ops = reason < PV_EXIT_GENERAL_PROTECTION || reason >= PV_EXIT_PUSHF ? 0 : 2;
    x->ops[0] = x->vector;
    x->ops[1] = x->error_code;
    if (vector == VECTOR_PF) {
        unicorn.reg_read(e->uc, UC_X86_REG_CR2, &x->cr2);
        x->ops[0] = x->cr2;
    } else if (reason == PV_EXIT_RDMSR || reason == PV_EXIT_WRMSR) {
        x->ops[0] = (uint32_t)e->v.regs->gpr[RCX];
        x->ops[1] = (uint64_t)(uint32_t)e->v.regs->gpr[RDX] << 32 | (uint32_t)e->v.regs->gpr[RAX];
        x->n_ops = reason == PV_EXIT_RDMSR ? 1 : 2;
    }
    dispatch(e, e->native[reason]);
    if (e->stopping && !x->n_insn)
        x->n_insn = fetch(e, linear, x->insn, 16); /* the page may be none that runs: it is not remembered */
}

/* Exceptions and INT n that are not a plain #GP of CLI or STI. */
static __attribute__((noinline)) void interrupt(struct engine *e, uint32_t vector, uint32_t error, bool tried)
{
    bool is_int = *state32(e, e->at.exception_is_int);
    uint32_t step = vector == VECTOR_DB && !is_int ? e->window_step : 0;
    end_window_step(e);
    follow_if(e);
    leave_shadow(e);
    if (unlikely(step & STEP_WATCH)) {
        open_exit(e, PV_EXIT_EXCEPTION, e->v.regs->rip, 0);
        e->v.exit.stepping = !(step & STEP_TF);
        e->v.exit.vector = VECTOR_DB;
        e->v.exit.error_code = 0;
        e->v.exit.number = PV_DEBUG_WATCHED;
        e->v.exit.n_insn = 0;
        stop(e);
    } else if (unlikely(step)) {
        if (e->v.virtual_if || nmi_due(e)) /* else it was a CLI, or its like, that did not trap */
            take_event(e, e->v.regs->rip);
    } else if (unlikely(is_int))
        soft_int(e, vector, e->v.regs->rip);
    else if (tried || vector != VECTOR_GP || error || !quick_trap(e, e->v.regs->rip))
        fault(e, vector, error);
}

/* From a code hook: the instruction at RIP is not to run, and this is its exception, with error code 0. */
void raise_fault(struct engine *e, uint32_t vector)
{
    end_window_step(e);
    follow_if(e);
    leave_shadow(e);
    fault(e, vector, 0);
}

static void on_interrupt(uc_engine *uc, uint32_t vector, void *user)
{
    (void)uc;
    struct engine *e = user;
    state_load(e);
    *state32(e, e->at.old_exception) = (uint32_t)-1;
    uint32_t error = *state32(e, e->at.error_code);
    bool quick = vector == VECTOR_GP && !error && !e->stopping && !e->window_step && !*state32(e, e->at.exception_is_int);
    /* When the run is stopping, the block of an IN or OUT that ended it runs on, but to no effect. */
    if (!(quick && quick_trap(e, e->v.regs->rip)) && !e->stopping)
        interrupt(e, vector, error, quick);
    state_store(e);
}

/* Instructions that QEMU does not know or not allow: #UD, and VMCALL, which is one of them. INT 6 comes here, too. */
static bool on_invalid(uc_engine *uc, void *user)
{
    (void)uc;
    struct engine *e = user;
    if (e->stopping)
        return true;
    state_load(e);
    end_window_step(e);
    follow_if(e);
    leave_shadow(e);
    uint64_t rip = e->v.regs->rip;
    const uint8_t *code = code_at(e, linear_of(e, rip));
    uint8_t copy[16] = {0};
    if (!code) {
        fetch(e, linear_of(e, rip), copy, sizeof copy);
        code = copy;
    }
    if (unlikely(*state32(e, e->at.exception_is_int))) {
        bool past = !(code[0] == 0xcd && code[1] == VECTOR_UD);
        e->v.regs->rip = past ? rip : rip + 2;
        soft_int(e, VECTOR_UD, e->v.regs->rip);
        state_store(e);
        return true;
    }
    bool vmcall = code[0] == 0x0f && code[1] == 0x01 && code[2] == 0xc1;
    if (vmcall && (in_hypercall_page(e, rip) || (e->v.raw_vmcall && !in_user_code(e)))) {
        uint64_t linear = linear_of(e, rip);
        if (linear + 3 != e->block_address + e->block.bytes) {
            uncredit_from(e, linear);
            e->v.insns++;
        }
        e->v.regs->rip = rip + 3;
        hypercall(e, rip, rip + 3);
    } else {
        fault(e, VECTOR_UD, 0);
    }
    state_store(e);
    return true;
}

static void on_syscall(uc_engine *uc, void *user)
{
    (void)uc;
    struct engine *e = user;
    if (unlikely(e->stopping))
        return;
    state_load(e);
    end_window_step(e);
    follow_if(e);
    leave_shadow(e);
    uint64_t rip = e->v.regs->rip;
    if (likely(in_hypercall_page(e, rip))) {
        hypercall(e, rip, rip + 2); /* the engine adds 2 to RIP when the hook returns */
        if (unlikely(e->v.exit.is_answered))
            e->v.regs->rip -= 2;
    } else {
        /* It ends its block, and may have prefixes; the engine adds its length. */
        uint64_t length = e->block_address + e->block.bytes - linear_of(e, rip);
        uncredit_from(e, linear_of(e, rip));
        open_exit(e, PV_EXIT_SYSCALL, rip, rip + length);
        dispatch(e, e->native[PV_EXIT_SYSCALL]);
    }
    state_store(e);
}

/* Without this hook Unicorn would jump to an address that the guest cannot set. */
static void on_sysenter(uc_engine *uc, void *user)
{
    (void)uc;
    struct engine *e = user;
    if (e->stopping)
        return;
    state_load(e);
    end_window_step(e);
    follow_if(e);
    leave_shadow(e);
    /* It ends its block; the engine adds its length to RIP when the hook returns. */
    uint64_t rip = e->v.regs->rip, length = e->block_address + e->block.bytes - linear_of(e, rip);
    uncredit_from(e, linear_of(e, rip));
    open_exit(e, PV_EXIT_SYSENTER, rip, rip + length);
    dispatch(e, e->native[PV_EXIT_SYSENTER]);
    e->v.regs->rip -= length;
    state_store(e);
}

/* Every hook covers all addresses (begin > end), none covers accesses to RAM: those would slow each store. */
void install_hooks(struct engine *e)
{
    e->hflags = state32(e, e->at.hflags);
    uc_hook hook;
    void *block_hook = e->v.repair == PV_REPAIR_CONTEXT ? (void *)on_block_copied : (void *)on_block;
    unicorn.hook_add(e->uc, &hook, UC_HOOK_BLOCK, block_hook, e, 1, 0);
    unicorn.hook_add(e->uc, &hook, UC_HOOK_INTR, (void *)on_interrupt, e, 1, 0);
    unicorn.hook_add(e->uc, &hook, UC_HOOK_INSN_INVALID, (void *)on_invalid, e, 1, 0);
    /* Unicorn walks the list of instruction hooks at each intercept: the most frequent stand first. */
    unicorn.hook_add(e->uc, &hook, UC_HOOK_INSN, (void *)on_syscall, e, 1, 0, UC_X86_INS_SYSCALL);
    unicorn.hook_add(e->uc, &hook, UC_HOOK_INSN, (void *)on_sysenter, e, 1, 0, UC_X86_INS_SYSENTER);
    unicorn.hook_add(e->uc, &hook, UC_HOOK_INSN, (void *)on_in, e, 1, 0, UC_X86_INS_IN);
    unicorn.hook_add(e->uc, &hook, UC_HOOK_INSN, (void *)on_out, e, 1, 0, UC_X86_INS_OUT);
    unicorn.hook_add(e->uc, &hook, UC_HOOK_INSN, (void *)on_cpuid, e, 1, 0, UC_X86_INS_CPUID);
    unicorn.hook_add(e->uc, &hook, UC_HOOK_INSN, (void *)on_rdtsc, e, 1, 0, UC_X86_INS_RDTSC);
    unicorn.hook_add(e->uc, &hook, UC_HOOK_INSN, (void *)on_rdtscp, e, 1, 0, UC_X86_INS_RDTSCP);
}
