/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lane's block hook. It counts as the shim's own does (cpu/shim/blocks.c) and shares its table, but the guest
 * changes address spaces and rewrites code without telling: so a key holds the table root and the mode, and each
 * new translation empties the slot of its address.
 */
#include "cpu/shim/api.h"
#include "emu.h"

enum { MODE_BITS = HF_CS64 | HF_CS32 | HF_CPL };

static inline uint64_t key_of(struct engine *e, uint64_t address)
{
    uint64_t space = lane_cr3(e) ^ (uint64_t)(current_hflags(e) & MODE_BITS) << 40 ^ (lane_cr0(e) >> CR0_PG_SHIFT & 1);
    return address ^ e->epoch ^ space * 0x9e3779b97f4a7c15ull;
}

/* Something waits, and no shadow of STI or MOV SS lies on the next instruction: IF and the shadow are the engine's. */
static bool may_interrupt(struct engine *e)
{
    bool interrupt = e->v.event_pending && *state32(e, e->at.eflags) & FLAG_IF;
    return (interrupt || nmi_due(e)) && !(current_hflags(e) & HF_INHIBIT_IRQ);
}

bool lane_wants_look(struct engine *e)
{
    return e->v.event_pending || e->v.nmi_pending || e->lane->injected;
}

bool lane_nmi_blocked(struct engine *e)
{
    return *lane_hflags2(e) & HF2_NMI;
}

/* Goes on at the beginning of the block that was about to begin: it is looked up anew. */
static void leave_block(struct engine *e, uint64_t address)
{
    uint64_t rip = rip_of(e, address);
    e->block.insns = 0;
    unicorn.reg_write(e->uc, UC_X86_REG_RIP, &rip);
}

/* An external interrupt before this block. A fault on the way leaves by longjmp, and comes back as an exception. */
static void deliver_interrupt(struct engine *e, uint64_t address)
{
    struct lane *lane = e->lane;
    int vector = (int)lane->injected - 1;
    lane->injected = 0;
    if (lane->injected_nmi)
        *lane_hflags2(e) |= HF2_NMI;
    lane->injected_nmi = false;
    lane->n_chain = 0;
    e->block.insns = 0;
    refresh_limit(e);
    e->v.regs->rip = rip_of(e, address);
    lane->delivering = true;
    if (unlikely(!lane_tr_is_tss(e)))
        repair_tr(e);
    internals.do_hardirq(e->state, vector, 1);
    lane->delivering = false;
    unicorn.reg_write(e->uc, UC_X86_REG_RIP, &e->v.regs->rip); /* leave the block that was about to begin */
}

/* The controllers name the vector, natively or by Python, which then injects it. */
static void interrupt_at_block(struct engine *e, uint64_t address)
{
    native_handler *acknowledge = e->native[PV_EXIT_EVENT_WINDOW];
    if (acknowledge && !nmi_due(e) && acknowledge(e))
        deliver_interrupt(e, address);
    else
        stop_at_block(e, PV_EXIT_EVENT_WINDOW, address);
}

static __attribute__((noinline)) void look_up(struct engine *e, uint64_t address)
{
    pv_vcpu *v = &e->v;
    if (e->lane->injected)
        deliver_interrupt(e, address);
    else if (e->records && e->n_records > N_RECORDS - RECORD_SLACK)
        stop_at_block(e, PV_EXIT_TRACE_FULL, address);
    else if (__atomic_load_n(&v->kick, __ATOMIC_SEQ_CST))
        stop_at_block(e, PV_EXIT_KICK, address);
    else if (may_interrupt(e))
        interrupt_at_block(e, address);
    else if (v->insns + v->idle_ns >= v->deadline_ns)
        at_deadline(e, address, look_up);
    else if (v->insns + v->idle_ns >= v->slice_ns)
        end_slice(e, address);
    else if (v->insns + e->block.insns > v->budget)
        stop_at_block(e, PV_EXIT_BUDGET, address);
    else {
        v->insns += e->block.insns;
        let_tlb_grow(e);
        refresh_limit(e);
    }
}

/* Nothing is due but an interrupt for which the guest has not set IF yet. Only the blocks can tell when it does. */
static bool only_waits_for_if(struct engine *e, uint64_t insns)
{
    return insns <= e->limit_without_event && !(*state32(e, e->at.eflags) & FLAG_IF) && !e->lane->injected &&
           !e->v.nmi_pending && !__atomic_load_n(&e->v.kick, __ATOMIC_SEQ_CST);
}

/* A block that is met for the first time, or where the limit is reached, or with a TR that is to be repaired. */
static __attribute__((noinline)) void enter_with_a_look(struct engine *e, uint64_t address, uint32_t size, uint64_t key)
{
    struct slot *slot = find_slot(e, address);
    bool pauses = slot->key == key && slot->extent.bytes == (size | PAUSING);
    e->block_key = key;
    if (!pauses && (slot->key != key || slot->extent.bytes != size)) {
        if (hook_sites(e, address, size) || hook_loop(e, address, size)) {
            leave_block(e, address);
            return;
        }
        count_block(e, address, size);
        pauses = learn_pause(e, address, size);
    }
    if (unlikely(!lane_tr_is_tss(e)))
        repair_tr(e); /* before user code may come by a call gate; delivery looks for itself */
    e->block_address = address;
    e->block.bytes = size;
    e->block.insns = slot->extent.insns;
    uint64_t insns = e->v.insns + slot->extent.insns;
    if (insns > e->v.limit && !only_waits_for_if(e, insns))
        look_up(e, address);
    else
        e->v.insns = insns;
    if (pauses && e->block.insns)
        credit_pause(e);
}

/* Short, with one likely branch, as the shim's own is. */
__attribute__((aligned(64))) void lane_on_block(uc_engine *uc, uint64_t address, uint32_t size, void *user)
{
    (void)uc;
    struct engine *e = user;
    const struct slot *slot = find_slot(e, address);
    uint64_t key = key_of(e, address);
    uint64_t insns = e->v.insns + slot->extent.insns;
    uint64_t unlike = (slot->key ^ key) | (slot->extent.bytes ^ size) | (insns > e->v.limit) | !lane_tr_is_tss(e);
    if (likely(!unlike)) {
        e->v.insns = insns;
        e->block_key = key;
        e->block_address = address;
        e->block = slot->extent;
    } else {
        enter_with_a_look(e, address, size, key);
    }
}

/*
 * The engine looks at the first store through an entry of its TLB, and forgets the code that is changed by it; where
 * the page is not executable, it looks at no further one (cputlb.c, notdirty_write). So a store into code through
 * another address would go unseen. QEMU has all entries of a frame looked at again when code of it is translated;
 * Unicorn has left that out, and it is done here.
 */
static void watch_page(struct engine *e, uint64_t address)
{
    enum { FETCH = 2, USER_INDEX = 1, KERNEL_INDEX = 2 }; /* target/i386/cpu.h, cpu_mmu_index: no SMAP */
    int index = (current_hflags(e) & HF_CPL) == 3 ? USER_INDEX : KERNEL_INDEX;
    void *host = internals.host_address(e->state, address & ~(PAGE_BYTES - 1), FETCH, index);
    if (host)
        internals.watch_stores(e->lane->cpu, (uintptr_t)host, PAGE_BYTES);
}

/* A block lies in two pages at most, and behind the last page of all comes that of address 0. */
static void watch_code(struct engine *e, uint64_t address, uint32_t size)
{
    uint64_t last = address + (size ? size - 1 : 0);
    watch_page(e, address);
    if ((address ^ last) / PAGE_BYTES)
        watch_page(e, last);
}

void lane_on_translation(uc_engine *uc, uc_tb *block, uc_tb *before, void *user)
{
    (void)uc;
    (void)before;
    struct engine *e = user;
    find_slot(e, block->pc)->extent.bytes = 0;
    watch_code(e, block->pc, block->size);
}
