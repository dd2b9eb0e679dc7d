/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lane's start-up test: a 32-bit guest that proves each of QEMU's functions by what it does to a stack, and
 * finds the field that tells at which instruction devices' memory is accessed. It runs by the hooks that every
 * guest of the lane runs by.
 */
#include "cpu/shim/api.h"
#include "cpu/shim/selftest.h"
#include "emu.h"

#include <stdlib.h>

enum { RAM_BYTES = 0x10000, GDT = 0x1000, IDT = 0x2000, CODE = 0x4000, HANDLERS = 0x5000, STACK = 0x9000 };
enum { DEVICE = 0x100000, MAX_CANDIDATES = 64, N_VECTORS = 0x42 };

static const uint8_t code[] = {
    0xb8, 0x28, 0x00, 0x00, 0x00,        /* 0x00 mov eax, 0x28                   */
    0x8e, 0xd8,                          /* 0x05 mov ds, eax     #GP(0x28)       */
    0xcd, 0x40,                          /* 0x07 int 0x40                        */
    0x0f, 0x0b,                          /* 0x09 ud2             gate 6 is #NP   */
    0x90, 0x90, 0xf4,                    /* 0x0b nop, nop, hlt   an interrupt    */
    0x31, 0xc0,                          /* 0x0e xor eax, eax                    */
    0xa1, 0x00, 0x00, 0x10, 0x00,        /* 0x10 mov eax, [DEVICE]               */
    0x40,                                /* 0x15 inc eax                         */
    0xa3, 0x08, 0x00, 0x10, 0x00,        /* 0x16 mov [DEVICE + 8], eax           */
    0xf4,                                /* 0x1b hlt                             */
    0x0f, 0x01, 0x1d, 0x00, 0x60, 0, 0,  /* 0x1c lidt [0x6000], which is 0       */
    0x0f, 0x0b,                          /* 0x23 ud2             a triple fault  */
    0xcf,                                /* 0x25 iret            to 0x0d         */
};

/* What the four words at ESP must be when the handler halts. */
static const struct { uint8_t at, vector, injected; uint32_t words[4]; } steps[] = {
    {0x00, 13, 0, {0x28, CODE + 0x05, 0x08, 0x2}},        /* a fault: with error code (and without RF, as QEMU has it) */
    {0x07, 0x40, 0, {CODE + 0x09, 0x08, 0x2, 0}},         /* INT n: behind it, without */
    {0x09, 11, 0, {0x32, CODE + 0x09, 0x08, 0x2}},       /* a fault during delivery: gate 6, in the IDT */
    {0x0b, 0x41, 0x41, {CODE + 0x0b, 0x08, 0x2, 0}},      /* an external interrupt: no error code */
};
enum { N_STEPS = sizeof steps / sizeof steps[0] };

static void set_gate(uint8_t *ram, uint32_t vector, uint32_t target, bool present)
{
    const uint32_t gate[2] = {(target & 0xffff) | 0x08 << 16, (target & 0xffff0000u) | (present ? 0x8e00 : 0x0e00)};
    memcpy(ram + IDT + 8 * vector, gate, sizeof gate);
}

static void lay_out(uint8_t *ram)
{
    static const uint64_t gdt[] = {0, 0x00cf9b000000ffffull, 0x00cf93000000ffffull};
    memset(ram, 0, RAM_BYTES);
    memcpy(ram + GDT, gdt, sizeof gdt);
    memcpy(ram + CODE, code, sizeof code);
    for (uint32_t vector = 0; vector < N_VECTORS; vector++) {
        set_gate(ram, vector, HANDLERS + 16 * vector, vector != 6);
        ram[HANDLERS + 16 * vector] = 0xf4;
    }
}

/* One step of the table: it ends with HLT in the right handler, and with the right frame. */
static bool takes(struct engine *e, uint8_t *ram, int i)
{
    pv_registers *regs = e->v.regs;
    regs->rip = CODE + steps[i].at;
    regs->gpr[RSP] = STACK;
    pv_set_rflags(&e->v, 2);
    if (steps[i].injected)
        pv_inject(&e->v, steps[i].injected);
    if (pv_run(&e->v) != PV_EXIT_HLT || regs->rip != HANDLERS + 16u * steps[i].vector + 1)
        return false;
    bool with_error = steps[i].words[2] == 0x08;
    if (regs->gpr[RSP] != STACK - (with_error ? 16 : 12))
        return false;
    uint32_t words[4] = {0};
    memcpy(words, ram + regs->gpr[RSP], with_error ? 16 : 12);
    return !memcmp(words, steps[i].words, sizeof words);
}

/* IRET clears the bit that says that NMIs are blocked. */
static bool iret_unblocks_nmi(struct engine *e, uint8_t *ram)
{
    static const uint32_t frame[] = {CODE + 0x0d, 0x08, 0x2};
    pv_registers *regs = e->v.regs;
    memcpy(ram + STACK - sizeof frame, frame, sizeof frame);
    regs->gpr[RSP] = STACK - sizeof frame;
    regs->rip = CODE + 0x25;
    uint32_t before = *lane_hflags2(e);
    *lane_hflags2(e) |= HF2_NMI;
    return !(before & HF2_NMI) && pv_run(&e->v) == PV_EXIT_HLT && regs->gpr[RSP] == STACK && *lane_hflags2(e) == before;
}

/* --- the place of an access ------------------------------------------------------------------------ */

struct place_search {
    uint32_t n_accesses, n_candidates;
    uint32_t candidates[MAX_CANDIDATES];
};

static bool names(struct engine *e, uint32_t offset, uint64_t rip)
{
    uintptr_t host_pc;
    memcpy(&host_pc, e->lane->cpu + offset, sizeof host_pc);
    e->v.regs->rip = 0;
    return internals.restore_state(e->lane->cpu, host_pc, false) && e->v.regs->rip == rip;
}

/* A field that names the load at the load and the store at the store is the one. */
static bool search_place(struct engine *e)
{
    struct place_search *search = e->v.device[0];
    uint64_t rip = CODE + (search->n_accesses++ ? 0x16 : 0x10);
    uint32_t n = 0;
    if (search->n_accesses == 1) {
        for (uint32_t offset = 8; offset + 8 <= (size_t)(e->state - e->lane->cpu) && n < MAX_CANDIDATES; offset += 8)
            if (names(e, offset, rip))
                search->candidates[n++] = offset;
    } else {
        for (uint32_t i = 0; i < search->n_candidates; i++)
            if (names(e, search->candidates[i], rip))
                search->candidates[n++] = search->candidates[i];
    }
    search->n_candidates = n;
    e->v.regs->rip = rip;
    e->v.exit.value = 0x1234;
    return true;
}

static const char *find_place(struct engine *e)
{
    struct place_search search = {0};
    e->v.device[0] = &search;
    e->native[PV_EXIT_MMIO] = search_place;
    if (pv_map_mmio(&e->v, DEVICE, PAGE_BYTES))
        return "devices' memory cannot be mapped";
    e->v.regs->rip = CODE + 0x0e;
    if (pv_run(&e->v) != PV_EXIT_HLT || search.n_accesses != 2 || e->v.regs->gpr[RAX] != 0x1235)
        return "an access to devices' memory did not arrive";
    if (search.n_candidates != 1)
        return "the place of an access was not found";
    internals.at.mem_io_pc = search.candidates[0];
    return NULL;
}

static const char *prove(struct engine *e, uint8_t *ram)
{
    const char *wrong = find_fields(e);
    if (wrong)
        return wrong;
    lay_out(ram);
    uc_x86_mmr gdtr = {0, GDT, 23, 0}, idtr = {0, IDT, 8 * N_VECTORS - 1, 0};
    if (write_register(e, UC_X86_REG_GDTR, &gdtr) || write_register(e, UC_X86_REG_IDTR, &idtr))
        return "the descriptor tables cannot be set";
    for (int i = 0; i < N_STEPS; i++)
        if (!takes(e, ram, i))
            return "an event was not delivered as the manual has it";
    if (!iret_unblocks_nmi(e, ram))
        return "the flag that blocks NMIs was not found";
    wrong = find_place(e);
    if (wrong)
        return wrong;
    e->v.regs->rip = CODE + 0x1c;
    if (pv_run(&e->v) != PV_EXIT_EXCEPTION || e->lane->n_chain < 2 || e->lane->chain[0].vector != 6)
        return "a triple fault did not end the run";
    return NULL;
}

int pv_emulation_self_test(char *error, size_t error_size)
{
    if (internals.at.mem_io_pc)
        return 0;
    uint8_t *ram = aligned_alloc(PAGE_BYTES, RAM_BYTES);
    const char *wrong = ram ? find_internals() : "out of memory";
    struct engine *e = wrong ? NULL : open_lane(ram, RAM_BYTES, 0, NULL, &wrong);
    if (e) {
        wrong = prove(e, ram);
        pv_close(&e->v);
    }
    free(ram);
    if (!wrong)
        return 0;
    internals.at.mem_io_pc = 0;
    snprintf(error, error_size, "%s", wrong);
    return -1;
}
