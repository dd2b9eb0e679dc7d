/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The floor: what an operation costs on this engine when nobody does anything about it.
 *
 * The guest's bytes are those that the benchmark runs under pvisor, the hook is empty: no counting, no exit,
 * no block hook. Only what the engine cannot do without is done: a trap needs `old_exception` repaired and RIP
 * stepped over the instruction, an instruction that is invalid to the engine (VMCALL) needs RIP stepped.
 *
 * This file stands alone, so that a mistake or a slowness of the shim cannot hide in its own yardstick. It
 * opens an engine, makes tables and enters ring 1 (by IRETQ) in its own way, and takes over two things: the
 * table of Unicorn's functions, and where the CPU state lies (find_live_state and the offset of
 * old_exception that the start-up self-test has verified, given as a parameter).
 */
#include "api.h"
#include "unicorn_api.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint8_t *find_live_state(uc_engine *uc); /* state.c */

/* Guest-physical layout; addresses below the hole are mapped where they are. */
enum {
    CODE = 0x1000,       /* the operation in its loop: executable, read-only */
    PAGE = 0x2000,       /* the hypercall page's frame */
    BOOT = 0x3000,       /* ring 0: one IRETQ, and the descriptors behind it */
    GDT = BOOT + 0x100,
    TABLES = 0x4000,     /* PML4, then three tables for the low pages, three for the hole */
    STACK_TOP = 0x10000,
    RAM_BYTES = 0x10000,
};
#define PAGE_GVA 0xffff800000001000ull

enum { PRESENT = 1, WRITABLE = 2, PRESET = 0x60 };
#define NO_EXECUTE (1ull << 63)

enum { RIP_OFFSET = 128 };   /* CPUX86State begins with regs[16], eip */
enum { WARM_UP = 2000 };

struct floor {
    uc_engine *uc;
    uint8_t *ram;
    uint8_t *state;          /* the live CPU state, or its copy in the context */
    uc_context *context;     /* NULL: the state is live */
    uint32_t old_exception;
    uint32_t step_bytes;     /* length of the instruction that traps */
};

/* --- the hooks ------------------------------------------------------------------------------------- */

static void nothing(uc_engine *uc, void *user)
{
    (void)uc, (void)user;
}

static void nothing_int(uc_engine *uc, uint32_t vector, void *user)
{
    (void)uc, (void)vector, (void)user;
}

static void nothing_out(uc_engine *uc, uint32_t ioport, int size, uint32_t value, void *user)
{
    (void)uc, (void)ioport, (void)size, (void)value, (void)user;
}

static void step(struct floor *f)
{
    uint64_t *rip = (uint64_t *)(f->state + RIP_OFFSET);
    *rip += f->step_bytes;
}

static void repair_live(uc_engine *uc, uint32_t vector, void *user)
{
    (void)uc, (void)vector;
    struct floor *f = user;
    *(int32_t *)(f->state + f->old_exception) = -1;
    step(f);
}

static void repair_copy(uc_engine *uc, uint32_t vector, void *user)
{
    struct floor *f = user;
    unicorn.context_save(uc, f->context);
    repair_live(uc, vector, user);
    unicorn.context_restore(uc, f->context);
}

static bool step_live(uc_engine *uc, void *user)
{
    (void)uc;
    step(user);
    return true;
}

static bool step_register(uc_engine *uc, void *user)
{
    uint64_t rip = 0;
    unicorn.reg_read(uc, UC_X86_REG_RIP, &rip);
    rip += ((struct floor *)user)->step_bytes;
    unicorn.reg_write(uc, UC_X86_REG_RIP, &rip);
    return true;
}

static uc_err add_hook(struct floor *f, const char *operation)
{
    uc_hook hook;
    if (!strcmp(operation, "syscall"))
        return unicorn.hook_add(f->uc, &hook, UC_HOOK_INSN, (void *)nothing, f, 1, 0, UC_X86_INS_SYSCALL);
    if (!strcmp(operation, "out"))
        return unicorn.hook_add(f->uc, &hook, UC_HOOK_INSN, (void *)nothing_out, f, 1, 0, UC_X86_INS_OUT);
    if (!strcmp(operation, "int"))
        return unicorn.hook_add(f->uc, &hook, UC_HOOK_INTR, (void *)nothing_int, f, 1, 0);
    if (!strcmp(operation, "cli")) {
        f->step_bytes = 1;
        void *repair = f->context ? (void *)repair_copy : (void *)repair_live;
        return unicorn.hook_add(f->uc, &hook, UC_HOOK_INTR, repair, f, 1, 0);
    }
    if (!strcmp(operation, "vmcall")) {
        f->step_bytes = 3;
        void *stepped = f->context ? (void *)step_register : (void *)step_live;
        return unicorn.hook_add(f->uc, &hook, UC_HOOK_INSN_INVALID, stepped, f, 1, 0);
    }
    return UC_ERR_ARG;
}

/* --- the engine ------------------------------------------------------------------------------------ */

static void set_entry(struct floor *f, int table, int index, uint64_t entry)
{
    memcpy(f->ram + TABLES + table * 0x1000 + index * 8, &entry, sizeof entry);
}

static uint64_t table_at(int table)
{
    return (uint64_t)(TABLES + table * 0x1000) | PRESENT | WRITABLE;
}

/* Low pages: code, ring 0's page, data. The hole: the hypercall page. Nothing is writable and executable. */
static void lay_out_tables(struct floor *f)
{
    set_entry(f, 0, 0, table_at(1));
    set_entry(f, 1, 0, table_at(2));
    set_entry(f, 2, 0, table_at(3));
    for (uint64_t page = 1; page < RAM_BYTES >> 12; page++)
        set_entry(f, 3, (int)page, page << 12 | PRESENT | WRITABLE | PRESET | NO_EXECUTE);
    set_entry(f, 3, CODE >> 12, CODE | PRESENT | PRESET);
    set_entry(f, 3, BOOT >> 12, BOOT | PRESENT | PRESET);
    set_entry(f, 0, 256, table_at(4));
    set_entry(f, 4, 0, table_at(5));
    set_entry(f, 5, 0, table_at(6));
    set_entry(f, 6, 1, PAGE | PRESENT | PRESET);
}

/* The way into ring 1: IRETQ with a frame that names the DPL 1 descriptors (SDM 3A 6.14.2). */
static void lay_out_boot(struct floor *f)
{
    const uint8_t iretq[] = {0x48, 0xcf};
    const uint64_t descriptors[] = {0, 0x00af9b000000ffffull, 0x00cf93000000ffffull, 0x00afbb000000ffffull,
                                    0x00cfb3000000ffffull};
    const uint64_t frame[] = {CODE, 0x18 | 1, 2, STACK_TOP, 0x20 | 1};
    memcpy(f->ram + BOOT, iretq, sizeof iretq);
    memcpy(f->ram + GDT, descriptors, sizeof descriptors);
    memcpy(f->ram + STACK_TOP - sizeof frame, frame, sizeof frame);
}

static bool set_register(struct floor *f, int id, uint64_t value)
{
    return unicorn.reg_write(f->uc, id, &value) == UC_ERR_OK;
}

static bool set_up_cpu(struct floor *f)
{
    uc_x86_mmr gdtr = {.base = GDT, .limit = 5 * 8 - 1};
    uc_x86_msr efer = {.rid = 0xc0000080u, .value = 0xd01}; /* LMA LME NXE SCE */
    return set_register(f, UC_X86_REG_CR4, 0x620) && !unicorn.reg_write(f->uc, UC_X86_REG_MSR, &efer) &&
           set_register(f, UC_X86_REG_CR3, TABLES) && set_register(f, UC_X86_REG_CR0, 0x80010033) &&
           !unicorn.reg_write(f->uc, UC_X86_REG_GDTR, &gdtr) && set_register(f, UC_X86_REG_CS, 0x08) &&
           set_register(f, UC_X86_REG_SS, 0x10) && set_register(f, UC_X86_REG_RSP, STACK_TOP - 40);
}

/* Where the CPU state begins in a context: behind a header, right where RAX stands. */
static uint8_t *find_copy(struct floor *f)
{
    const uint64_t marker = 0x70666c6f6f726d6bull;
    if (!set_register(f, UC_X86_REG_RAX, marker) || unicorn.context_save(f->uc, f->context))
        return NULL;
    uint8_t *bytes = (uint8_t *)f->context;
    size_t n_bytes = unicorn.context_size(f->uc);
    for (size_t k = 0; k + 8 <= n_bytes; k += 8)
        if (!memcmp(bytes + k, &marker, sizeof marker))
            return bytes + k;
    return NULL;
}

static bool find_state(struct floor *f, int repair)
{
    if (repair == PV_REPAIR_STATE)
        f->state = find_live_state(f->uc);
    else if (!unicorn.context_alloc(f->uc, &f->context))
        f->state = find_copy(f);
    return f->state != NULL;
}

static bool open_floor(struct floor *f, int repair)
{
    f->ram = aligned_alloc(4096, RAM_BYTES);
    if (!f->ram)
        return false;
    memset(f->ram, 0, RAM_BYTES);
    lay_out_tables(f);
    lay_out_boot(f);
    return !unicorn.open(UC_ARCH_X86, UC_MODE_64, &f->uc) &&
           !unicorn.mem_map_ptr(f->uc, 0, RAM_BYTES, UC_PROT_ALL, f->ram) && find_state(f, repair) && set_up_cpu(f);
}

static void close_floor(struct floor *f)
{
    if (f->context)
        unicorn.context_free(f->context);
    if (f->uc)
        unicorn.close(f->uc);
    free(f->ram);
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Runs the loop with R15 as its counter. The first time through, ring 0's IRETQ leads to it. */
static double run_loop(struct floor *f, uint64_t from, uint64_t until, uint64_t n_operations)
{
    if (!set_register(f, UC_X86_REG_R15, n_operations))
        return -1;
    double begin = now_ns();
    uc_err error = unicorn.emu_start(f->uc, from, until, 0, 0);
    double spent = now_ns() - begin;
    uint64_t rip = 0;
    unicorn.reg_read(f->uc, UC_X86_REG_RIP, &rip);
    return error || rip != until ? -1 : spent;
}

double pv_floor(const char *operation, const void *code, uint32_t code_bytes, const void *page,
                uint64_t n_operations, int repair, uint32_t old_exception)
{
    struct floor f = {.old_exception = old_exception};
    double spent = -1;
    if (unicorn.open && n_operations && code_bytes <= 4096 && open_floor(&f, repair) && !add_hook(&f, operation)) {
        memcpy(f.ram + CODE, code, code_bytes);
        if (page)
            memcpy(f.ram + PAGE, page, 4096);
        uint64_t until = CODE + code_bytes;
        if (run_loop(&f, BOOT, until, WARM_UP) >= 0)
            spent = run_loop(&f, CODE, until, n_operations);
    }
    close_floor(&f);
    return spent < 0 ? -1 : spent / (double)n_operations;
}
