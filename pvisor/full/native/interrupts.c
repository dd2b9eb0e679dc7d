/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events through the guest's IDT in C: exceptions that are the guest's own, INT n, and interrupts of devices, in
 * the plain case (SDM 3A chapter 6). The twin, full/interrupts.py, knows what happens when a delivery faults.
 */
#include "full/native/controllers.h"
#include "full/native/cpu.h"

enum { INTERRUPT_GATE = 14, TRAP_GATE = 15, GATE_PRESENT = 0x80 };
enum { VECTOR_DB = 1, VECTOR_DF = 8, VECTOR_GP = 13 };
enum { MAX_FAULTS_WITHOUT_PROGRESS = 10000 };

struct event {
    uint32_t vector, error_code;
    bool has_error_code, soft;
    uint64_t return_rip;
};

struct entry {                 /* where an event leads: the gate, its segment, the stack for the frame */
    uint8_t gate[16];
    uint32_t selector, cpl;
    uint64_t target;
    struct descriptor code;
    bool changes_stack;
    pv_segment stack;
    uint64_t rsp;
};

/* Of these vectors the CPU pushes an error code (SDM 3A table 6-1). */
static bool pushes_error_code(uint32_t vector)
{
    return vector < 32 && (1u << vector & (1u << 8 | 0x1fu << 10 | 1u << 17));
}

static bool find_gate(struct engine *e, const struct event *event, struct entry *to)
{
    const pv_cpu *c = cpu_of(e);
    uint32_t n_bytes = is_long(e) ? 16 : 8;
    if (event->vector * n_bytes + n_bytes - 1 > c->idtr.limit ||
        !read_guest(e, c->idtr.base + event->vector * n_bytes, to->gate, n_bytes, READ))
        return false;
    uint8_t kind = to->gate[5] & 0x1f;
    if ((kind != INTERRUPT_GATE && kind != TRAP_GATE) || !(to->gate[5] & GATE_PRESENT))
        return false;
    if (event->soft && (to->gate[5] >> 5 & 3) < (int)virtual_cpl(e))
        return false;
    to->selector = to->gate[2] | (uint32_t)to->gate[3] << 8;
    to->target = to->gate[0] | (uint32_t)to->gate[1] << 8 | (uint32_t)to->gate[6] << 16 | (uint32_t)to->gate[7] << 24;
    if (n_bytes == 16)
        for (int i = 0; i < 4; i++)
            to->target |= (uint64_t)to->gate[8 + i] << (32 + 8 * i);
    return true;
}

static bool find_code(struct engine *e, struct entry *to)
{
    if (!find_descriptor(e, to->selector, &to->code) || !can_enter(e, &to->code) || dpl_of(&to->code) > virtual_cpl(e))
        return false;
    if (is_long(e) && !(to->code.flags & SEGMENT_LONG))
        return false;
    to->cpl = is_conforming(&to->code) ? virtual_cpl(e) : dpl_of(&to->code);
    return to->cpl == 0 || to->cpl == 3;
}

static bool read_tss(struct engine *e, uint32_t offset, uint64_t *value, uint32_t n_bytes)
{
    const pv_cpu *c = cpu_of(e);
    *value = 0;
    return offset + n_bytes - 1 <= c->tr.limit && read_guest(e, c->tr.base + offset, value, n_bytes, READ);
}

/* Stack and SS in IA-32e mode: of IST or TSS, or as they were (SDM 3A 6.14). */
static bool find_long_stack(struct engine *e, struct entry *to)
{
    uint32_t ist = to->gate[4] & 7;
    if (ist || to->changes_stack)
        if (!read_tss(e, ist ? 0x1c + 8 * ist : 4 + 8 * to->cpl, &to->rsp, 8) || !is_canonical(to->rsp))
            return false;
    to->rsp &= ~15ull;
    return !to->changes_stack || find_stack(e, to->cpl, to->cpl, true, &to->stack); /* a null selector */
}

/* The same in protected mode, by a 32-bit TSS (SDM 3A 6.12.1). */
static bool find_protected_stack(struct engine *e, struct entry *to)
{
    uint64_t selector;
    if (!to->changes_stack)
        return true;
    return cpu_of(e)->tr.flags >> 8 & 8 && read_tss(e, 4 + 8 * to->cpl, &to->rsp, 4) &&
           read_tss(e, 8 + 8 * to->cpl, &selector, 2) && find_stack(e, (uint32_t)selector, to->cpl, false, &to->stack);
}

/* The words of the frame, upwards from where RSP will point. */
static uint32_t make_frame(struct engine *e, const struct event *event, const struct entry *to, uint64_t rflags,
                           uint64_t words[6])
{
    uint32_t n = 0;
    if (event->has_error_code)
        words[n++] = event->error_code;
    words[n++] = event->return_rip;
    words[n++] = segment_at(e, SEG_CS)->selector;
    words[n++] = rflags;
    if (to->changes_stack || is_long(e)) {
        words[n++] = e->v.regs->gpr[RSP];
        words[n++] = segment_at(e, SEG_SS)->selector;
    }
    return n;
}

/* Finds room for n words and stores them; then RSP has moved. False: nothing was stored. */
static bool push_frame(struct engine *e, const struct entry *to, const uint64_t *words, uint32_t n)
{
    struct place place;
    uint32_t access = to->cpl == 3 ? WRITE | USER : WRITE, narrow[6];
    if (is_long(e)) {
        uint64_t bottom = to->rsp - 8 * n;
        if (!find_place(e, bottom, 8 * n, access, &place))
            return false;
        store(e, &place, words);
        e->v.regs->gpr[RSP] = bottom;
        return true;
    }
    const struct segment_cache *old = segment_at(e, SEG_SS);
    uint32_t flags = to->changes_stack ? to->stack.flags : old->flags;
    uint64_t base = to->changes_stack ? to->stack.base : old->base;
    uint32_t bottom = (uint32_t)to->rsp - 4 * n;
    if (!(flags & SEGMENT_BIG)) /* a 16-bit stack */
        return false;
    for (uint32_t i = 0; i < n; i++)
        narrow[i] = (uint32_t)words[i];
    if (!find_place(e, (uint32_t)(bottom + base), 4 * n, access, &place))
        return false;
    store(e, &place, narrow);
    e->v.regs->gpr[RSP] = bottom;
    return true;
}

static bool deliver(struct engine *e, const struct event *event)
{
    struct entry to;
    uint64_t words[6];
    if (!find_gate(e, event, &to) || !find_code(e, &to))
        return false;
    to.rsp = e->v.regs->gpr[RSP];
    to.changes_stack = to.cpl < virtual_cpl(e);
    if (is_long(e) ? !find_long_stack(e, &to) : !find_protected_stack(e, &to))
        return false;
    if (!can_hold(e, &to.code, to.target))
        return false;
    uint64_t rflags = guest_rflags(e) & ~(event->soft ? (uint64_t)RFLAGS_RF : 0); /* INT n has run: RF was for it */
    uint32_t n = make_frame(e, event, &to, rflags, words);
    if (!push_frame(e, &to, words, n))
        return false;
    load_code(e, to.selector, &to.code, to.cpl);
    if (to.changes_stack)
        set_segment(e, SEG_SS, &to.stack);
    uint64_t cleared = RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM;
    if ((to.gate[5] & 0xf) == INTERRUPT_GATE)
        cleared |= RFLAGS_IF;
    set_guest_rflags(e, rflags & ~cleared);
    e->v.regs->rip = to.target;
    return true;
}

/* An exception of the exiting instruction. A handler that faults at its first instruction is Python's to end. */
bool reflect(struct engine *e, uint32_t vector, uint32_t error_code)
{
    pv_cpu *c = cpu_of(e);
    const struct event event = {vector, error_code, pushes_error_code(vector), false, e->v.exit.rip};
    uint32_t n_there = c->faults_at == e->v.insns ? c->n_faults_there + 1 : 0;
    if (n_there >= MAX_FAULTS_WITHOUT_PROGRESS || !deliver(e, &event))
        return false;
    c->faults_at = e->v.insns;
    c->n_faults_there = n_there;
    return true;
}

/* #DB changes DR6, and #DF has its own rules. */
static bool exception(struct engine *e)
{
    const pv_exit *x = &e->v.exit;
    return is_pc(e) && x->vector != VECTOR_DB && x->vector != VECTOR_DF && reflect(e, x->vector, x->error_code);
}

/* #GP(0) of 64-bit code may be a stack address that is not canonical, which the manual makes #SS. */
static bool general_protection(struct engine *e)
{
    const pv_exit *x = &e->v.exit;
    return is_pc(e) && x->n_insn >= 15 && (x->error_code || !in_64bit_code(e)) && reflect(e, VECTOR_GP, x->error_code);
}

/* #UD; but for INT1, and for RDPMC, which is #GP. */
static bool invalid_opcode(struct engine *e)
{
    const pv_exit *x = &e->v.exit;
    if (is_pc(e) && cpu_of(e)->cr4 & CR4_OSXSAVE && cpu_of(e)->cr0 & CR0_TS)
        return false; /* it may be XSAVE */
    if (!is_pc(e) || x->n_insn < 2 || x->insn[0] == 0xf1 || (x->insn[0] == 0x0f && x->insn[1] == 0x33))
        return false;
    return reflect(e, x->vector, 0);
}

static bool soft_int(struct engine *e)
{
    const pv_exit *x = &e->v.exit;
    const struct event event = {x->vector, 0, false, true, x->next_rip};
    if (!is_pc(e) || !deliver(e, &event))
        return false;
    e->v.insns++;
    return true;
}

static bool deliver_vector(struct engine *e, uint32_t vector)
{
    const struct event event = {vector, 0, false, false, e->v.exit.rip};
    return is_pc(e) && deliver(e, &event);
}

/* A device's interrupt, with IF set. Where the delivery is not plain, the controllers are asked anew by Python. */
static bool event_window(struct engine *e)
{
    struct controllers c;
    uint32_t vector;
    if (!acknowledge_natively(e, &c, &vector))
        return false;
    if (!deliver_vector(e, vector)) {
        take_back(&c);
        return false;
    }
    follow_apic(e, c.apic);
    return true;
}

/* The interrupt controller has named the vector to Python. */
int pv_deliver_interrupt(pv_vcpu *v, uint32_t vector)
{
    struct engine *e = (struct engine *)v;
    return e->native[PV_EXIT_EVENT_WINDOW] && deliver_vector(e, vector) ? 0 : -1;
}

const struct native full_interrupts_natives[] = {
    {"exception", PV_EXIT_EXCEPTION, 0, 0, exception},
    {"general_protection", PV_EXIT_GENERAL_PROTECTION, 0, 0, general_protection},
    {"invalid_opcode", PV_EXIT_INVALID_OPCODE, 0, 0, invalid_opcode},
    {"soft_int", PV_EXIT_SOFT_INT, 0, 0, soft_int},
    {"event_window", PV_EXIT_EVENT_WINDOW, 0, 0, event_window},
};
const uint32_t n_full_interrupts_natives = sizeof full_interrupts_natives / sizeof full_interrupts_natives[0];
