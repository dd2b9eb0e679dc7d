/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the engine lets user code do, and a CPU does not, apart from I/O (user_io.c): IRET to virtual-8086 mode as if from
 * ring 0, and code over which the translator gives up. With v.guards_user both are user code's own faults, which go the
 * way of any other.
 *
 * The engine cannot stop inside the hook of an I/O instruction, but it can raise an exception there: its library exports
 * QEMU's raise_exception_err, which leaves the hook by a jump. Here is the probe that shows whether that works.
 */
#include "selftest.h"
#include "api.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

enum { VECTOR_UD = 6, VECTOR_GP = 13, OUT_AT = 3, DPL3_DATA = 0xf300, DPL3_CODE32 = 0xcffb00, USER_CS32 = 0x2b, USER_SS = 0x1b };

/*
 * An IRET has led to virtual-8086 mode, where nothing has run yet: the next block is about to begin, or its fetch has
 * faulted. On a CPU user code cannot get there: the flag would not have been loaded (SDM 2A, IRET). Where it came from is
 * forgotten, so what it gets is a #GP(0) of 32-bit code, at the address to which it wanted. False: that is not so.
 */
bool leave_virtual_8086(struct engine *e)
{
    if (likely(!(*state32(e, e->at.eflags) & RFLAGS_VM)) || !e->v.guards_user)
        return false;
    static const pv_segment null;
    const pv_segment code = {.selector = USER_CS32, .limit = 0xffffffff, .flags = DPL3_CODE32};
    const pv_segment stack = {.selector = USER_SS, .limit = 0xffffffff, .flags = 0xc00000 | DPL3_DATA};
    e->v.regs->rip = linear_of(e, e->v.regs->rip);
    set_segment(e, SEG_ES, &null);
    set_segment(e, SEG_DS, &null);
    set_segment(e, SEG_FS, &null);
    set_segment(e, SEG_GS, &null);
    set_segment(e, SEG_CS, &code);
    set_segment(e, SEG_SS, &stack);
    *state32(e, e->at.eflags) &= ~(uint32_t)RFLAGS_VM;
    return true;
}

/*
 * A run that was left by an abort is still open to the engine, which counts them, and allows 64. The count is a number of
 * its own struct that is one more after each abort: the only one that has been so after N_SURE of them. It is set to 0.
 */
enum { N_SURE = 8, MAX_OPEN_RUNS = 48 };

static void close_runs(struct engine *e)
{
#ifdef __GLIBC__
    int32_t *words = (int32_t *)e->uc;
    uint32_t n_words = (uint32_t)(malloc_usable_size(e->uc) / sizeof *words), n = 0;
    if (e->nested) {
        *e->nested = 0;
        return;
    }
    if (e->n_aborts == 1) {
        for (uint32_t i = 0; i < n_words && i <= UINT16_MAX && n < 256; i++)
            if (words[i] == 1)
                e->nested_at[n++] = (uint16_t)i;
    } else {
        for (uint32_t i = 0; i < e->n_nested_at; i++)
            if (words[e->nested_at[i]] == (int32_t)e->n_aborts)
                e->nested_at[n++] = e->nested_at[i];
    }
    e->n_nested_at = n;
    if (e->n_aborts == N_SURE && n == 1) {
        e->nested = words + e->nested_at[0];
        *e->nested = 0;
    }
#else
    (void)e;
#endif
}

/*
 * The engine has aborted while it translated the block that begins at RIP (run.c). User code must not end its domain by
 * that, so it gets #UD at the beginning of the block, of which nothing has run: what the engine cannot translate is some
 * instruction that no CPU would run.
 */
bool refuse_untranslatable(struct engine *e)
{
    pv_exit *x = &e->v.exit;
    close_runs(e);
    state_load(e);
    if (!e->v.guards_user || !in_user_code(e) || e->stopping || (!e->nested && e->n_aborts > MAX_OPEN_RUNS))
        return false;
    uint64_t rip = e->v.regs->rip;
    e->lost = false;
    e->block.insns = 0; /* the block before has run to its end */
    end_window_step(e);
    open_exit(e, PV_EXIT_INVALID_OPCODE, rip, 0);
    x->vector = VECTOR_UD;
    x->error_code = 0;
    x->number = 0;
    x->n_ops = 2;
    x->ops[0] = VECTOR_UD;
    x->ops[1] = 0;
    x->n_insn = fetch(e, linear_of(e, rip), x->insn, sizeof x->insn);
    e->exit_started_ns = host_ns();
    return true;
}

/* --- the probe: `xor eax, eax` (so ZF is set, by the engine's lazy account), `nop`, `out`, and it traps */

static const uint8_t guest[] = {0x31, 0xc0, 0x90, 0xe6, 0x80, 0xf4};

struct raise_probe {
    struct engine *e;
    raise_error *raise;
    bool works;
};

static void on_probe_out(uc_engine *uc, uint32_t ioport, int size, uint32_t value, void *user)
{
    struct raise_probe *probe = user;
    (void)uc, (void)ioport, (void)size, (void)value;
    probe->raise(probe->e->state, VECTOR_GP, 0);
}

static void on_probe_trap(uc_engine *uc, uint32_t vector, void *user)
{
    struct raise_probe *probe = user;
    struct engine *e = probe->e;
    uint64_t rflags = 0;
    *state32(e, e->at.old_exception) = (uint32_t)-1;
    unicorn.reg_read(uc, UC_X86_REG_RFLAGS, &rflags);
    probe->works = vector == VECTOR_GP && e->v.regs->rip == 0x1000 + OUT_AT && !*state32(e, e->at.error_code) &&
                   !*state32(e, e->at.exception_is_int) && (rflags & 0x40);
    unicorn.emu_stop(uc);
}

static void lay_out(uint8_t *hv, uint8_t *ram)
{
    uint64_t *tables = (uint64_t *)hv;
    memset(hv, 0, 4 * PAGE_BYTES);
    for (int level = 0; level < 3; level++)
        tables[level * 512] = (HV_BASE + (uint64_t)(level + 1) * PAGE_BYTES) | 3;
    tables[3 * 512 + 1] = 0x1000 | 0x61;
    memcpy(ram + 0x1000, guest, sizeof guest);
}

/* Fills probed.raise, if the function is there and does what it should. `pages`: eight of them. */
void probe_raise(struct engine *e, uint8_t *pages)
{
    uint8_t *ram = pages, *hv = pages + 4 * PAGE_BYTES;
    struct raise_probe probe = {.e = e};
    uint64_t root = HV_BASE;
    uc_hook hook;
    *(void **)&probe.raise = unicorn_symbol("raise_exception_err_x86_64");
    lay_out(hv, ram);
    e->at = probed.at;
    if (!probe.raise || !open_engine(e, PV_REPAIR_STATE, ram, 4 * PAGE_BYTES, hv, 4 * PAGE_BYTES))
        return;
    if (unicorn.hook_add(e->uc, &hook, UC_HOOK_INTR, (void *)on_probe_trap, &probe, 1, 0) ||
        unicorn.hook_add(e->uc, &hook, UC_HOOK_INSN, (void *)on_probe_out, &probe, 1, 0, UC_X86_INS_OUT) ||
        write_register(e, UC_X86_REG_CR3, &root) || unicorn.emu_start(e->uc, 0x1000, 0, 0, 0))
        return;
    if (probe.works)
        probed.raise = probe.raise;
}
