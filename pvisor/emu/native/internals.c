/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the lane uses of QEMU inside the library: six functions that the library exports, and fields of its CPU
 * state. Functions are found by name, fields by what they hold after Unicorn's API has written them.
 */
#include "cpu/shim/api.h"
#include "emu.h"

struct internals internals;

enum { STATE_BYTES = 0x4000 };

static const struct { const char *name; size_t offset; } functions[] = {
    {"x86_cpu_do_interrupt_x86_64", offsetof(struct internals, do_interrupt)},
    {"do_interrupt_x86_hardirq_x86_64", offsetof(struct internals, do_hardirq)},
    {"raise_exception_err_x86_64", offsetof(struct internals, raise)},
    {"cpu_restore_state_x86_64", offsetof(struct internals, restore_state)},
    {"tlb_vaddr_to_host_x86_64", offsetof(struct internals, host_address)},
    {"tlb_reset_dirty_x86_64", offsetof(struct internals, watch_stores)},
};

const char *find_internals(void)
{
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        void *symbol = unicorn_symbol(functions[i].name);
        if (!symbol)
            return "the library does not export QEMU's functions";
        memcpy((char *)&internals + functions[i].offset, &symbol, sizeof symbol);
    }
    return NULL;
}

/* --- fields ---------------------------------------------------------------------------------------- */

struct wanted {
    uint32_t *offset;      /* where the answer goes */
    int id;                /* Unicorn's register, or UC_X86_REG_MSR */
    uint32_t msr;
    uint32_t n_bytes;
    uint64_t values[2];    /* two values that the register keeps as they are */
};

static void write_wanted(struct engine *e, const struct wanted *w, uint64_t value)
{
    uc_x86_msr msr = {w->msr, value};
    uc_x86_mmr tr = {0x28, value, 0x67, 0x8b00};
    const void *from = w->id == UC_X86_REG_MSR ? (void *)&msr : w->id == UC_X86_REG_TR ? (void *)&tr : (void *)&value;
    unicorn.reg_write(e->uc, w->id, from);
}

/* The one place that holds the first value after it was written, the second after that, and then 0. */
static bool find_field(struct engine *e, const struct wanted *w)
{
    uint8_t maybe[STATE_BYTES / 4];
    memset(maybe, 1, sizeof maybe);
    const uint64_t values[] = {w->values[0], w->values[1], 0};
    for (int i = 0; i < 3; i++) {
        write_wanted(e, w, values[i]);
        for (uint32_t k = 0; k < STATE_BYTES / 4 - 1; k++)
            maybe[k] &= !memcmp(e->state + 4 * k, &values[i], w->n_bytes);
    }
    uint32_t n_found = 0;
    for (uint32_t k = 0; k < STATE_BYTES / 4 - 1; k++)
        if (maybe[k])
            *w->offset = 4 * k, n_found++;
    return n_found == 1;
}

/* Fills internals.at, but for mem_io_pc. Leaves the registers that it wrote 0. */
const char *find_fields(struct engine *e)
{
    struct lane_layout *at = &internals.at;
    const uint64_t a = 0x0000123456789000ull, b = 0x00005a5aa5a5c000ull;
    const struct wanted wanted[] = {
        {&at->cr3, UC_X86_REG_CR3, 0, 8, {a, b}},
        {&at->tr, UC_X86_REG_TR, 0, 8, {a, b}},
        {&at->efer, UC_X86_REG_MSR, 0xc0000080u, 8, {0x801, 0x800}},
        {&at->star, UC_X86_REG_MSR, 0xc0000081u, 8, {a, b}},
        {&at->lstar, UC_X86_REG_MSR, 0xc0000082u, 8, {a, b}},
        {&at->cstar, UC_X86_REG_MSR, 0xc0000083u, 8, {a, b}},
        {&at->fmask, UC_X86_REG_MSR, 0xc0000084u, 8, {a, b}},
        {&at->sysenter_cs, UC_X86_REG_MSR, 0x174, 4, {0x1238, 0x4568}},
        {&at->sysenter_esp, UC_X86_REG_MSR, 0x175, 8, {a, b}},
        {&at->sysenter_eip, UC_X86_REG_MSR, 0x176, 8, {a, b}},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (!find_field(e, &wanted[i]))
            return "a register was not found in the CPU state";
    at->tr -= 8; /* the base is the second word of a segment register */
    at->cr0 = at->cr3 - 24;
    if (lane_cr0(e) != 0x11)
        return "CR0 was not found";
    return NULL;
}
