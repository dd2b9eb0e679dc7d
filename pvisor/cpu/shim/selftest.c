/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The start-up self-test: a guest of nine traps that finds the fields of Unicorn's CPU state and
 * proves that they mean what the shim takes them for.
 *
 * It runs at CPL 1, entered by the same state write that every guest uses, on tables of its own:
 * page 1 holds its code, page 2 is read-only, page 3 is not present.
 */
#include "selftest.h"
#include "api.h"

#include <stdlib.h>

struct probed probed;

enum { MAX_STATE = 8192, N_TRAPS = 9 };

/* The QEMU structure begins with regs[16], eip, eflags; these follow (verified by what the traps show). */
enum { EFLAGS_OFFSET = 136, HFLAGS_OFFSET = 176, SEGS_OFFSET = 184 };

static const uint8_t guest[] = {
    0xfa,                                                  /* 0 0x00 cli              #GP(0)           */
    0xb8, 0x10, 0x00, 0x00, 0x00, 0x8e, 0xd8,              /* 1 0x06 mov ds, 0x10     #GP(0x10)        */
    0xb8, 0x28, 0x00, 0x00, 0x00, 0x8e, 0xd8,              /* 2 0x0d mov ds, 0x28     #GP(0x28)        */
    0xa3, 0x00, 0x30, 0, 0, 0, 0, 0, 0,                    /* 3 0x0f mov [0x3000], eax  #PF(W)         */
    0xa3, 0x00, 0x20, 0, 0, 0, 0, 0, 0,                    /* 4 0x18 mov [0x2000], eax  #PF(W|P)       */
    0xcd, 0x40,                                            /* 5 0x23 int 0x40: RIP already past        */
    0xcd, 0x0d,                                            /* 6 0x25 int 13: not a fault               */
    0xfa,                                                  /* 7 0x25 cli: a fault again                */
    0xf4,                                                  /* 8 0x26 hlt: #GP at CPL 1                 */
};
static const struct { uint8_t vector, at, next, is_int; uint16_t error; } expected[N_TRAPS] = {
    {13, 0x00, 0x01, 0, 0},    {13, 0x06, 0x08, 0, 0x10}, {13, 0x0d, 0x0f, 0, 0x28},
    {14, 0x0f, 0x18, 0, 2},    {14, 0x18, 0x21, 0, 3},    {0x40, 0x23, 0x23, 1, 0},
    {13, 0x25, 0x25, 1, 0},    {13, 0x25, 0x26, 0, 0},    {13, 0x26, 0x26, 0, 0},
};

struct trial {
    struct engine e;
    uint32_t n_traps;
    uint8_t *copies;           /* the state at each trap, N_TRAPS + 1 times MAX_STATE */
    size_t n_bytes;
    const char *wrong;
};

static int32_t field(const struct trial *t, int copy, size_t offset)
{
    int32_t value;
    memcpy(&value, t->copies + (size_t)copy * MAX_STATE + offset, sizeof value);
    return value;
}

/* The one 32-bit field that is -1 before the first #GP and 13 after it. */
static uint32_t find_old_exception(struct trial *t)
{
    uint32_t found = 0;
    for (size_t k = 0; k + 4 <= t->n_bytes; k += 4)
        if (field(t, 0, k) == -1 && field(t, 1, k) == 13) {
            if (found)
                t->wrong = "more than one field looks like old_exception";
            found = (uint32_t)k;
        }
    if (!found)
        t->wrong = "no field looks like old_exception";
    return found;
}

static void on_trap(uc_engine *uc, uint32_t vector, void *user)
{
    struct trial *t = user;
    struct engine *e = &t->e;
    uint32_t n = t->n_traps;
    state_load(e);
    if (n >= N_TRAPS || t->wrong || vector != expected[n].vector || e->v.regs->rip != 0x1000u + expected[n].at) {
        if (!t->wrong)
            t->wrong = "a trap came with the wrong vector or RIP";
        unicorn.emu_stop(uc);
        return;
    }
    memcpy(t->copies + (size_t)(n + 1) * MAX_STATE, e->state, t->n_bytes);
    if (n == 0)
        e->at.old_exception = find_old_exception(t);
    if (t->wrong) {
        unicorn.emu_stop(uc);
        return;
    }
    *state32(e, e->at.old_exception) = (uint32_t)-1;
    e->v.regs->rip = 0x1000u + expected[n].next;
    t->n_traps++;
    if (t->n_traps == N_TRAPS)
        unicorn.emu_stop(uc);
    state_store(e);
}

/* The field that holds `value[i]` at trap i, for all traps; 0 where there is none or more than one. */
static uint32_t find_field(struct trial *t, bool want_error_code)
{
    uint32_t found = 0, n_found = 0;
    for (size_t k = EFLAGS_OFFSET; k + 4 <= t->n_bytes; k += 4) {
        bool fits = true;
        for (int i = 0; fits && i < N_TRAPS; i++) {
            bool is_int = expected[i].is_int;
            if (want_error_code)
                fits = is_int || field(t, i + 1, k) == expected[i].error;
            else
                fits = field(t, i + 1, k) == (is_int ? 1 : 0);
        }
        if (fits)
            found = (uint32_t)k, n_found++;
    }
    return n_found == 1 ? found : 0;
}

/* Four tables and a code page in the hypervisor's frames; guest RAM is not needed. */
static void lay_out(uint8_t *hv, uint8_t *ram)
{
    uint64_t *tables = (uint64_t *)hv;
    tables[0 * 512] = (HV_BASE + 0x1000) | 3;
    tables[1 * 512] = (HV_BASE + 0x2000) | 3;
    tables[2 * 512] = (HV_BASE + 0x3000) | 3;
    tables[3 * 512 + 1] = 0x1000 | 0x61;
    tables[3 * 512 + 2] = 0x2000 | 0x61 | (1ull << 63);
    memcpy(ram + 0x1000, guest, sizeof guest);
}

static const char *run_trial(struct trial *t, enum pv_repair repair, void *ram, void *hv)
{
    struct engine *e = &t->e;
    lay_out(hv, ram);
    if (!open_engine(e, repair, ram, 0x4000, hv, 0x4000))
        return "the CPU state was not found";
    t->n_bytes = state_bytes(e);
    if (t->n_bytes > MAX_STATE)
        t->n_bytes = MAX_STATE;
    memcpy(t->copies, e->state, t->n_bytes);
    uc_hook hook;
    unicorn.hook_add(e->uc, &hook, UC_HOOK_INTR, (void *)on_trap, t, 1, 0);
    uint64_t root = HV_BASE;
    if (write_register(e, UC_X86_REG_CR3, &root))
        return "CR3 cannot be written";
    state_store(e);
    if (unicorn.emu_start(e->uc, 0x1000, 0, 0, 0))
        return "the probe guest did not run";
    if (t->wrong)
        return t->wrong;
    if (t->n_traps != N_TRAPS)
        return "the probe guest stopped early";
    e->at.error_code = find_field(t, true);
    e->at.exception_is_int = find_field(t, false);
    if (!e->at.error_code)
        return "the error code was not found";
    if (!e->at.exception_is_int)
        return "exception_is_int was not found";
    return NULL;
}

/* RFLAGS.IF, the FS base and the DS selector, written by the API, must show at their places. */
static const char *check_layout(struct engine *e)
{
    uint64_t rflags = 0x202, base = 0x1122334455667788ull;
    uint16_t selector = 0x2b;
    write_register(e, UC_X86_REG_RFLAGS, &rflags);
    write_register(e, UC_X86_REG_FS_BASE, &base);
    write_register(e, UC_X86_REG_DS, &selector);
    if (!(*state32(e, e->at.eflags) & 0x200))
        return "RFLAGS was not found";
    if (*state64(e, e->at.segs + 24 * SEG_FS + 8) != base || *state32(e, e->at.segs + 24 * SEG_DS) != selector)
        return "the segment registers were not found";
    if ((current_hflags(e) & (HF_CPL | HF_CS64 | HF_LMA)) != (1 | HF_CS64 | HF_LMA))
        return "hflags was not found";
    return NULL;
}

static const char *try_repair(enum pv_repair repair)
{
    struct trial *t = calloc(1, sizeof *t);
    uint8_t *pages = aligned_alloc(PAGE_BYTES, 0x8000), *copies = malloc((N_TRAPS + 1) * MAX_STATE);
    const char *wrong = "out of memory";
    if (t && pages && copies) {
        memset(pages, 0, 0x8000);
        t->copies = copies;
        t->e.at = (struct state_layout){.eflags = EFLAGS_OFFSET, .hflags = HFLAGS_OFFSET, .segs = SEGS_OFFSET};
        wrong = run_trial(t, repair, pages, pages + 0x4000);
        if (!wrong)
            wrong = check_layout(&t->e);
        if (!wrong) {
            probed.repair = repair;
            probed.at = t->e.at;
        }
        close_engine(&t->e);
        if (!wrong && repair == PV_REPAIR_STATE) {
            memset(&t->e, 0, sizeof t->e);
            probe_page_flush(&t->e, pages);
            close_engine(&t->e);
            memset(&t->e, 0, sizeof t->e);
            probe_raise(&t->e, pages);
            close_engine(&t->e);
        }
    }
    free(copies);
    free(pages);
    free(t);
    return wrong;
}

uint32_t pv_self_test(uint32_t wanted, char *error, size_t error_size)
{
    const char *wrong = NULL;
    probed.repair = PV_REPAIR_NONE;
    if (wanted != PV_REPAIR_CONTEXT && (wrong = try_repair(PV_REPAIR_STATE)) == NULL)
        return probed.repair;
    if (wanted != PV_REPAIR_STATE && (wrong = try_repair(PV_REPAIR_CONTEXT)) == NULL)
        return probed.repair;
    snprintf(error, error_size, "%s", wrong);
    return PV_REPAIR_NONE;
}

void pv_state_offsets(uint32_t offsets[6])
{
    memcpy(offsets, &probed.at, sizeof probed.at);
}
