/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block hook: every translated block passes here before it runs.
 *
 * It counts retired instructions (and so virtual time), looks at one limit that stands for budget,
 * events, signals and a full trace, and proves that the guest is not at CPL 0. It costs about a
 * nanosecond a block, so what is rare is behind one comparison.
 */
#include "api.h"
#include "shadow.h"

/*
 * The count of a block depends on its bytes, its length and the mode. Within one epoch an address holds the
 * same bytes; the length tells apart blocks that were cut at different places, the key's mode bits code of 16,
 * 32 and 64 bits, of kernel and user. The epoch changes with the tables and with W^X flips; each shadow root has
 * epochs of its own. A block that is not found is also looked through for sensitive instructions.
 */
/* A number that no key bears yet. Its bits lie around those of the mode, over which the carry passes. */
void take_epoch(struct engine *e)
{
    e->last_epoch = ((e->last_epoch | KEY_MODE_BITS) + EPOCH) & ~KEY_MODE_BITS;
    if (e->last_epoch == 0) { /* all are used up: forget what bears them, and begin again */
        memset(e->slots, 0, sizeof e->slots);
        memset(e->tails, 0, sizeof e->tails);
        e->code_epoch = 0;
        e->generation++;
        e->last_epoch = EPOCH;
    }
    e->epoch = e->last_epoch;
}

/* Any address, in any address space, may hold other code from now on. */
void new_epoch(struct engine *e)
{
    e->generation++;
    take_epoch(e);
    if (e->shadow) {
        struct root *root = &e->shadow->roots[e->shadow->current];
        root->epoch = e->epoch;
        root->generation = e->generation;
    }
}

/* In its first page or in its last: it lies in two at most. */
static bool is_partly_mixed(struct engine *e, uint64_t address, uint32_t size)
{
    return e->shadow && e->shadow->n_mixed && (is_mixed(e, address) || is_mixed(e, address + size - 1));
}

/* A block whose code may change unseen is never found in the table: it is looked at each time. */
static void hide_changing(struct engine *e, struct slot *slot, uint64_t address, uint32_t size)
{
    if (unlikely(e->v.code_writable || is_partly_mixed(e, address, size)))
        slot->extent.bytes = 0;
}

struct slot *count_block(struct engine *e, uint64_t address, uint32_t size)
{
    struct slot *slot = find_slot(e, address);
    uc_tb block = {0};
    unicorn.ctl(e->uc, UC_CTL_READ_WRITE(UC_CTL_TB_REQUEST_CACHE, 2), address, &block);
    *slot = (struct slot){e->block_key, {size, block.icount}};
    hide_changing(e, slot, address, size);
    if (unlikely(e->marks_set))
        meet_marks(e, address);
    if (unlikely(e->n_operations) && begins_or_ends_operation(e, address)) {
        slot->extent.bytes = 0; /* never found again: a probed block comes here every time */
        follow_operation(e, address);
    }
    return slot;
}

/* What may interrupt the guest at a block boundary makes the limit 0; else the budget stands. */
void refresh_limit(struct engine *e)
{
    pv_vcpu *v = &e->v;
    bool open = v->virtual_if || v->remedy == PV_REMEDY_REGISTERS; /* then IF may be set at any time */
    bool event = e->lane ? lane_wants_look(e) : (v->event_pending && open) || nmi_due(e);
    bool trace_full = e->records && e->n_records > N_RECORDS - RECORD_SLACK;
    /* Stored before kick is read, and not only in program order: a kick of another thread must not be lost. */
    uint64_t due_ns = v->deadline_ns < v->slice_ns ? v->deadline_ns : v->slice_ns;
    uint64_t deadline = due_ns > v->idle_ns ? due_ns - v->idle_ns : 0;
    uint64_t limit = deadline < v->budget ? deadline : v->budget;
    if (e->next_tlb_growth < limit)
        limit = e->next_tlb_growth;
    e->limit_without_event = trace_full ? 0 : limit;
    __atomic_store_n(&v->limit, event || trace_full ? 0 : limit, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&v->kick, __ATOMIC_SEQ_CST))
        v->limit = 0;
}

void stop_at_block(struct engine *e, uint32_t reason, uint64_t address)
{
    uint64_t rip = rip_of(e, address);
    e->block.insns = 0; /* none of it has been credited */
    open_exit(e, reason, rip, rip);
    stop(e);
}

/*
 * An NMI is due, or IF is set and the controller asserts its line, before the instruction at `rip`. True: the handler
 * of the controller's interrupt is entered.
 */
bool take_event(struct engine *e, uint64_t rip)
{
    native_handler *handler = e->native[PV_EXIT_EVENT_WINDOW];
    open_exit(e, PV_EXIT_EVENT_WINDOW, rip, rip);
    if (!handler || nmi_due(e) || e->v.debugging || !handler(e)) {
        stop(e);
        return false;
    }
    e->exit_open = false;
    return true;
}

static void interrupt_at_block(struct engine *e, uint64_t address)
{
    uint64_t rip = rip_of(e, address);
    e->block.insns = 0;
    if (!take_event(e, rip))
        return;
    rip = e->v.regs->rip;
    state_store(e);
    unicorn.reg_write(e->uc, UC_X86_REG_RIP, &rip); /* leave the block that was about to begin */
}

/*
 * In 64-bit mode Unicorn takes the CPL from a null descriptor when MOV SS loads one at CPL 1 (2.1.4,
 * cpu_x86_load_seg_cache). MOV SS ends its block, so no instruction has run at CPL 0 yet: the ring is put
 * back and the block, translated for CPL 0, is left by writing RIP.
 */
static void restore_ring(struct engine *e, uint64_t address)
{
    open_exit(e, PV_EXIT_NULL_SS, address, address);
    pv_segment null = {.selector = *state32(e, e->at.segs + 24 * SEG_SS), .flags = 1u << 13};
    set_segment(e, SEG_SS, &null);
    uint32_t *hflags = state32(e, e->at.hflags);
    *hflags = (*hflags & ~(uint32_t)HF_CPL) | 1;
    state_store(e);
    unicorn.reg_write(e->uc, UC_X86_REG_RIP, &address);
    e->v.null_ss_repairs++;
    e->served_natively = true;
    complete_exit(e);
}

/* Is the next instruction the one right behind STI, MOV SS or POP SS? */
static bool in_shadow(struct engine *e)
{
    return e->v.sti_insns == e->v.insns ||
           (e->v.remedy == PV_REMEDY_REGISTERS && current_hflags(e) & HF_INHIBIT_IRQ);
}

/*
 * An event waits for the end of the instruction in the shadow of STI or MOV SS, which need not be the end of its
 * block: `sti; nop; cli` lets it in after the NOP. So that one instruction is run by itself, with the trap flag;
 * the #DB behind it is ours (exits.c). A guest that steps by itself has blocks of one instruction anyhow.
 */
static bool begin_window_step(struct engine *e, uint64_t address)
{
    uint32_t *rflags = state32(e, e->at.eflags);
    uint8_t code = 0;
    fetch(e, address, &code, 1);
    if (*rflags & RFLAGS_TF || (code & 0xfe) == 0x9c) /* PUSHF, if it is not replaced, would show the flag */
        return false;
    *rflags |= RFLAGS_TF;
    e->window_step = STEP_TF;
    state_store(e);
    uint64_t rip = rip_of(e, address);
    unicorn.reg_write(e->uc, UC_X86_REG_RIP, &rip);
    return true;
}

/* What is due happens, natively if it can; then the block is looked at again. */
void at_deadline(struct engine *e, uint64_t address, void (*look_again)(struct engine *e, uint64_t address))
{
    native_handler *handler = e->native[PV_EXIT_DEADLINE];
    if (handler && handler(e))
        look_again(e, address);
    else
        stop_at_block(e, PV_EXIT_DEADLINE, address);
}

/* Others have their turn. That is the host's affair, not the guest's: no exit is opened, counted or traced. */
void end_slice(struct engine *e, uint64_t address)
{
    e->block.insns = 0;
    e->v.exit.reason = PV_EXIT_SLICE;
    e->v.exit.rip = rip_of(e, address);
    e->v.exit.in_hook = 0;
    stop(e);
}

/* By an IRET. The kernel learns of it by a #GP where user code cannot get there; else the run ends. */
static void refuse_virtual_8086(struct engine *e, uint64_t address)
{
    if (!leave_virtual_8086(e)) {
        stop_at_block(e, PV_EXIT_VM86, address);
        return;
    }
    stop_at_block(e, PV_EXIT_GENERAL_PROTECTION, address);
    e->v.exit.vector = 13;
    e->v.exit.error_code = 0;
    e->v.exit.n_insn = 0;
    state_store(e);
}

static __attribute__((noinline)) void look_up(struct engine *e, uint64_t address)
{
    pv_vcpu *v = &e->v;
    follow_if(e);
    if ((current_hflags(e) & 1) == 0) {
        restore_ring(e, address);
        return;
    }
    if (*state32(e, e->at.eflags) & RFLAGS_VM) {
        refuse_virtual_8086(e, address);
        return;
    }
    if (e->records && e->n_records > N_RECORDS - RECORD_SLACK)
        stop_at_block(e, PV_EXIT_TRACE_FULL, address);
    else if (__atomic_load_n(&v->kick, __ATOMIC_SEQ_CST))
        stop_at_block(e, PV_EXIT_KICK, address);
    else if (event_due(e) && !v->watching && !in_shadow(e))
        interrupt_at_block(e, address);
    else if (event_due(e) && !v->watching && !e->window_step && begin_window_step(e, address))
        e->block.insns = 0; /* the block is translated anew, as one instruction, and comes here again */
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

/* The ring is 1 or 3, and 3 is not that of virtual-8086 mode. */
static bool is_deprivileged(struct engine *e)
{
    uint32_t ring = *e->hflags & HF_CPL;
    return ring == 1 || (ring == 3 && !(*state32(e, e->at.eflags) & RFLAGS_VM));
}

/* Virtual-8086 mode is that, too, and may begin without an exit: by an IRET of user code. Such blocks are all looked at. */
static bool is_16bit_user_code(struct engine *e)
{
    return (*e->hflags & (HF_CPL | HF_CS32 | HF_CS64)) == 3;
}

/* The block about to begin is translated anew, and comes here again. */
static void begin_again(struct engine *e, uint64_t address)
{
    uint64_t rip = rip_of(e, address);
    unicorn.reg_write(e->uc, UC_X86_REG_RIP, &rip);
}

static bool is_known_changing(const struct slot *slot, uint32_t size, uint64_t key)
{
    return slot->key == key && slot->extent.bytes == (size | CHANGING);
}

/* Is something to be done to a block that is new, or was forgotten? Then it begins again. */
static bool prepare_block(struct engine *e, uint64_t address, uint32_t size)
{
    bool is_patched = e->v.remedy != PV_REMEDY_NONE && patch_block(e, address, size);
    return is_patched || hook_loop(e, address, size) || hook_user_io(e, address, size);
}

/* The slot of a block whose code may change unseen (code.c), or NULL: it begins again. */
static const struct slot *find_changing(struct engine *e, uint64_t address, uint32_t size, uint64_t key)
{
    struct slot *slot = find_slot(e, address);
    enum code_state state = look_at_code(e, address, size);
    if (state == CODE_STALE) {
        slot->extent.bytes = 0; /* what was found out about its code holds no more */
        begin_again(e, address);
        return NULL;
    }
    if (!is_known_changing(slot, size, key))
        slot = count_block(e, address, size);
    if (state == CODE_CHANGING)
        slot->extent.bytes = size | CHANGING;
    else if (state == CODE_UNKNOWN)
        slot->extent.bytes = 0;
    return slot;
}

/* A block of one REP MOVS or REP STOS is looked at each time, because many rounds of it can be done at once. */
static void mark_string(struct engine *e, struct slot *slot, uint64_t address, uint32_t size)
{
    if (slot->extent.bytes == size && is_string_block(e, address, size))
        slot->extent.bytes = size | STRING;
}

/* Looks through a block and counts it, or knows of it by its frames (known.c). NULL: it begins again. */
static const struct slot *learn_block(struct engine *e, uint64_t address, uint32_t size, const struct slot *slot,
                                      bool *pauses)
{
    uint64_t key = e->block_key;
    bool may_be_known = e->shadow && !is_16bit_user_code(e);
    uint32_t insns = may_be_known ? recall_block(e, address, size) : 0;
    if (insns) {
        struct slot *known = find_slot(e, address);
        *pauses = insns & PAUSING;
        *known = (struct slot){key, {size | (insns & PAUSING), insns & ~PAUSING}};
        mark_string(e, known, address, size);
        hide_changing(e, known, address, size);
        return known;
    }
    if (!is_known_changing(slot, size, key) && prepare_block(e, address, size)) {
        begin_again(e, address);
        return NULL;
    }
    slot = e->code ? find_changing(e, address, size, key) : count_block(e, address, size);
    *pauses = slot && learn_pause(e, address, size);
    if (slot && may_be_known) {
        know_block(e, address, size, slot->extent.insns | (*pauses ? PAUSING : 0));
        mark_string(e, find_slot(e, address), address, size);
    }
    if (slot && unlikely(is_16bit_user_code(e)))
        find_slot(e, address)->extent.bytes = 0;
    return slot;
}

/* A block that is met for the first time, or where the limit is reached, or at a ring that is none of the guest's. */
static __attribute__((noinline)) void enter_with_a_look(struct engine *e, uint64_t address, uint32_t size, uint64_t key)
{
    e->block_key = key;
    e->block_address = address;
    e->block = (struct extent){size, 0};
    if (unlikely(!is_deprivileged(e))) {
        look_up(e, address); /* no slot tells of such code, so that each block of it comes here */
        return;
    }
    const struct slot *slot = find_slot(e, address);
    bool pauses = slot->key == key && slot->extent.bytes == (size | PAUSING);
    if (slot->key == key && slot->extent.bytes == (size | STRING)) {
        e->v.insns += run_string_ahead(e, address, size, e->v.limit);
    } else if (!pauses && (slot->key != key || slot->extent.bytes != size)) {
        slot = learn_block(e, address, size, slot, &pauses);
        if (!slot)
            return;
    }
    e->block.insns = slot->extent.insns;
    uint64_t insns = e->v.insns + slot->extent.insns;
    if (insns > e->v.limit)
        look_up(e, address);
    else
        e->v.insns = insns;
    if (pauses && e->block.insns)
        credit_pause(e);
}

/*
 * Nearly every block takes the one likely branch. This is short because it has to be: a few instructions more, or two
 * branches in place of one, and code in short blocks runs 15 % slower.
 */
__attribute__((aligned(64))) void on_block(uc_engine *uc, uint64_t address, uint32_t size, void *user)
{
    (void)uc;
    struct engine *e = user;
    const struct slot *slot = find_slot(e, address);
    uint64_t mode = *e->hflags & (HF_CPL | HF_CS32 | HF_CS64);
    uint64_t key = address ^ e->epoch ^ mode << KEY_MODE_SHIFT;
    uint64_t insns = e->v.insns + slot->extent.insns;
    uint64_t unlike = (slot->key ^ key) | (slot->extent.bytes ^ size) | (insns > e->v.limit);
    if (likely(!unlike)) {
        e->v.insns = insns;
        e->block_key = key;
        e->block_address = address;
        e->block = slot->extent;
    } else {
        enter_with_a_look(e, address, size, key);
    }
}

/* The same where the CPU state is a copy (PV_REPAIR_CONTEXT): the check of the ring needs it afresh. */
void on_block_copied(uc_engine *uc, uint64_t address, uint32_t size, void *user)
{
    context_load(user);
    on_block(uc, address, size, user);
}
