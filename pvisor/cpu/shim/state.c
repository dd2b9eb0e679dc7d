/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unicorn's CPU state: where it lies, and how the shim reads and changes it.
 *
 * Unicorn's API has two holes (2.1.4): an INTR hook is not told the exception's error code, and
 * `old_exception` is never cleared, so that every second #GP arrives as #DF. Both fields are in QEMU's
 * CPUX86State. Two ways lead there:
 *
 *   STATE    the structure lies in the engine's memory; sixteen marker values find it
 *   CONTEXT  uc_context_save copies it, uc_context_restore writes it back; slower, always there
 *
 * No offset is taken on trust: selftest.c runs a small guest and finds or verifies each one before any
 * other guest may run.
 */
#define _GNU_SOURCE
#include "selftest.h"

#include <stdlib.h>
#ifdef __linux__
#include <sys/uio.h>
#include <unistd.h>
#endif

static const int gpr_ids[16] = {
    UC_X86_REG_RAX, UC_X86_REG_RCX, UC_X86_REG_RDX, UC_X86_REG_RBX, UC_X86_REG_RSP, UC_X86_REG_RBP,
    UC_X86_REG_RSI, UC_X86_REG_RDI, UC_X86_REG_R8,  UC_X86_REG_R9,  UC_X86_REG_R10, UC_X86_REG_R11,
    UC_X86_REG_R12, UC_X86_REG_R13, UC_X86_REG_R14, UC_X86_REG_R15,
};

static void set_markers(uc_engine *uc, uint64_t markers[17], uint64_t seed)
{
    for (int i = 0; i < 17; i++) {
        markers[i] = (seed + (uint64_t)i) * 0x9e3779b97f4a7c15ull;
        if (i == 16)
            markers[i] &= 0x00007fffffffffffull;
        unicorn.reg_write(uc, i < 16 ? gpr_ids[i] : UC_X86_REG_RIP, &markers[i]);
    }
}

#ifdef __linux__
/* Reads our own memory without a fault where nothing is mapped. */
static ssize_t peek(const void *from, void *into, size_t n)
{
    struct iovec local = {into, n}, remote = {(void *)from, n};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
}

static uint8_t *match_at(uint8_t *candidate, const uint64_t markers[17])
{
    uint64_t seen[17];
    return peek(candidate, seen, sizeof seen) == sizeof seen && !memcmp(seen, markers, sizeof seen) ? candidate : NULL;
}

static uint8_t *pointer_in(uc_engine *uc, size_t offset)
{
    uint64_t pointer = 0;
    peek((uint8_t *)uc + offset, &pointer, sizeof pointer);
    return pointer >= 4096 && !(pointer >> 47) ? (uint8_t *)pointer : NULL;
}

static uint8_t *scan(uc_engine *uc, const uint64_t markers[17])
{
    enum { WINDOW = 0x18000 };
    uint8_t *copy = malloc(WINDOW), *found = NULL;
    for (size_t offset = 0; copy && !found && offset < 0x800; offset += 8) {
        uint8_t *base = pointer_in(uc, offset);
        ssize_t n = base ? peek(base, copy, WINDOW) : 0;
        for (ssize_t k = 0; !found && k + 136 <= n; k += 8)
            if (!memcmp(copy + k, markers, 136))
                found = base + k;
    }
    free(copy);
    return found;
}

/* The live CPUX86State of `uc`, or NULL. Destroys the general registers and RIP. */
uint8_t *find_live_state(uc_engine *uc)
{
    uint64_t markers[17];
    set_markers(uc, markers, 0x51);
    uint8_t *cpu = pointer_in(uc, 0x1b8); /* where 2.1.4 has it: a hint that saves the scan */
    uint8_t *state = cpu ? match_at(cpu + 0x8a50, markers) : NULL;
    if (!state)
        state = scan(uc, markers);
    set_markers(uc, markers, 0x1234567); /* a second set: the place follows the registers, by no chance */
    return state && match_at(state, markers) ? state : NULL;
}

/*
 * QEMU's CPUState, of which the state is a part, or NULL. It is known by what it holds: pointers to the state and
 * to the engine, and a pointer to it in the engine.
 */
uint8_t *find_cpu_object(uc_engine *uc, const uint8_t *state)
{
    enum { MAX_BEFORE = 0x18000 };
    for (size_t offset = 0x1b8, n = 0; n < 0x100; offset = 8 * n++) {
        uint8_t *base = pointer_in(uc, offset);
        if (!base || base >= state || state - base > MAX_BEFORE)
            continue;
        bool state_seen = false, engine_seen = false;
        for (const uint8_t *at = base; at < state && !(state_seen && engine_seen); at += 8) {
            void *pointer;
            if (peek(at, &pointer, sizeof pointer) != sizeof pointer)
                break;
            state_seen |= pointer == state;
            engine_seen |= pointer == uc;
        }
        if (state_seen && engine_seen)
            return base;
    }
    return NULL;
}
#else
uint8_t *find_live_state(uc_engine *uc)
{
    (void)uc;
    return NULL;
}
uint8_t *find_cpu_object(uc_engine *uc, const uint8_t *state)
{
    (void)uc;
    (void)state;
    return NULL;
}
#endif

static uint8_t *find_in_context(struct engine *e)
{
    uint64_t markers[17];
    set_markers(e->uc, markers, 0x77);
    if (unicorn.context_save(e->uc, e->context))
        return NULL;
    uint8_t *bytes = (uint8_t *)e->context;
    size_t size = unicorn.context_size(e->uc);
    for (size_t k = 0; k + 136 <= size; k += 8)
        if (!memcmp(bytes + k, markers, 136))
            return bytes + k;
    return NULL;
}

/* How many bytes of the state may be looked at: what a context holds of it. */
size_t state_bytes(struct engine *e)
{
    return unicorn.context_size(e->uc) - 64;
}

/* Finds the state of a fresh engine the way `repair` says. False: this way does not work here. */
bool attach_state(struct engine *e, enum pv_repair repair)
{
    e->v.repair = repair;
    if (repair == PV_REPAIR_STATE) {
        e->state = find_live_state(e->uc);
    } else {
        if (unicorn.context_alloc(e->uc, &e->context))
            return false;
        e->state = find_in_context(e);
    }
    e->v.regs = (pv_registers *)e->state;
    return e->state != NULL;
}

void context_load(struct engine *e)
{
    unicorn.context_save(e->uc, e->context);
}

void context_store(struct engine *e)
{
    unicorn.context_restore(e->uc, e->context);
}

/* Registers by Unicorn's API, for what is not plain memory (RFLAGS, CRs, MSRs): around it, the copy follows. */
uc_err read_register(struct engine *e, int id, void *value)
{
    state_store(e);
    return unicorn.reg_read(e->uc, id, value);
}

uc_err write_register(struct engine *e, int id, const void *value)
{
    state_store(e);
    uc_err error = unicorn.reg_write(e->uc, id, value);
    state_load(e);
    return error;
}
