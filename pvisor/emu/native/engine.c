/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A lane's life: its CPU as a multiboot loader leaves one, its devices' memory, and how its runs end. */
#include "cpu/shim/api.h"
#include "cpu/shim/selftest.h"
#include "emu.h"

#include <stdlib.h>

enum { MSR_EFER = 0xc0000080u, MSR_TSC_AUX = 0xc0000103u, EFER_LME = 1 << 8 };
enum { CR0_PE = 1, CR0_ET = 1 << 4, CR4_PAE = 1 << 5, HLT = 0xf4, VECTOR_NMI = 2 };
#define WRITE_BACK 0x0606060606060606ull

/* 32-bit protected mode, flat, no paging. Unicorn opens its CPU in long mode, which clearing CR0.PG leaves. */
static bool enter_protected_mode(struct engine *e)
{
    uint64_t paged = CR0_PE | CR0_ET | 1u << CR0_PG_SHIFT, cr0 = CR0_PE | CR0_ET, zero = 0;
    uc_x86_msr efer = {MSR_EFER, 0};
    uc_x86_mmr no_table = {0, 0, 0, 0}, task = {0, 0, 0x67, 0x8900};
    if (write_register(e, UC_X86_REG_CR0, &paged) || write_register(e, UC_X86_REG_CR0, &cr0) ||
        write_register(e, UC_X86_REG_CR3, &zero) || write_register(e, UC_X86_REG_CR4, &zero) || write_register(e, UC_X86_REG_MSR, &efer) ||
        write_register(e, UC_X86_REG_GDTR, &no_table) || write_register(e, UC_X86_REG_IDTR, &no_table) ||
        write_register(e, UC_X86_REG_TR, &task))
        return false;
    const pv_segment code = {.selector = 0x08, .limit = 0xffffffff, .flags = 0x00cf9b00},
                     data = {.selector = 0x10, .limit = 0xffffffff, .flags = 0x00cf9300};
    set_segment(e, SEG_CS, &code);
    for (int i = SEG_ES; i <= SEG_GS; i++)
        if (i != SEG_CS)
            set_segment(e, i, &data);
    *state32(e, e->at.hflags) |= HF_PE;
    return !pv_set_rflags(&e->v, 2);
}

/* What firmware leaves in MSRs where Unicorn's CPU begins with 0: the same as full/msrs.py and full/state.py have. */
static bool set_firmware_msrs(struct engine *e)
{
    static const uc_x86_msr values[] = {
        {0x1a0, 1},     /* IA32_MISC_ENABLE: fast strings */
        {0x2ff, 0xc06}, /* IA32_MTRR_DEF_TYPE: all of memory is write-back, in the fixed ranges, too */
        {0x250, WRITE_BACK}, {0x258, WRITE_BACK}, {0x259, WRITE_BACK}, {0x268, WRITE_BACK}, {0x269, WRITE_BACK},
        {0x26a, WRITE_BACK}, {0x26b, WRITE_BACK}, {0x26c, WRITE_BACK}, {0x26d, WRITE_BACK}, {0x26e, WRITE_BACK},
        {0x26f, WRITE_BACK},
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        if (write_register(e, UC_X86_REG_MSR, &values[i]))
            return false;
    return true;
}

void repair_tr(struct engine *e)
{
    *state64(e, internals.at.tr + 8) = 0;
    *state32(e, internals.at.tr + 16) = 0;
    *state32(e, internals.at.tr + 20) = 0x8900;
}

static void install_lane_hooks(struct engine *e)
{
    const struct { int kind; void *hook; int instruction; } hooks[] = {
        {UC_HOOK_BLOCK, (void *)lane_on_block, 0},
        {UC_HOOK_EDGE_GENERATED, (void *)lane_on_translation, 0},
        {UC_HOOK_INTR, (void *)lane_on_interrupt, 0},
        {UC_HOOK_INSN_INVALID, (void *)lane_on_invalid, 0},
        {UC_HOOK_INSN, (void *)lane_on_syscall, UC_X86_INS_SYSCALL},
        {UC_HOOK_INSN, (void *)lane_on_sysenter, UC_X86_INS_SYSENTER},
        {UC_HOOK_INSN, (void *)lane_on_in, UC_X86_INS_IN},
        {UC_HOOK_INSN, (void *)lane_on_out, UC_X86_INS_OUT},
        {UC_HOOK_INSN, (void *)on_cpuid, UC_X86_INS_CPUID},
        {UC_HOOK_INSN, (void *)on_rdtsc, UC_X86_INS_RDTSC},
        {UC_HOOK_INSN, (void *)on_rdtscp, UC_X86_INS_RDTSCP},
    };
    for (size_t i = 0; i < sizeof hooks / sizeof hooks[0]; i++) {
        uc_hook hook;
        unicorn.hook_add(e->uc, &hook, hooks[i].kind, hooks[i].hook, e, 1, 0, hooks[i].instruction);
    }
}

/* NULL, and what is wrong, where the engine is not as the lane needs it. */
struct engine *open_lane(void *ram, uint64_t ram_bytes, uint32_t model, void *owner, const char **wrong)
{
    struct engine *e = calloc(1, sizeof *e);
    struct lane *lane = calloc(1, sizeof *lane);
    *wrong = "out of memory";
    if (!e || !lane) {
        free(e);
        free(lane);
        return NULL;
    }
    e->lane = lane;
    e->at = probed.at;
    e->model = model;
    e->v.owner = owner;
    e->v.budget = e->v.deadline_ns = e->v.slice_ns = UINT64_MAX;
    *wrong = "the CPU state was not found in the engine's memory";
    bool opened = open_cpu(e, PV_REPAIR_STATE, ram, ram_bytes);
    if (opened)
        lane->cpu = find_cpu_object(e->uc, e->state);
    if (opened && lane->cpu && enter_protected_mode(e) && set_firmware_msrs(e)) {
        *wrong = NULL;
        install_lane_hooks(e);
        spare_search_of_tlb(e);
        refresh_limit(e);
        return e;
    }
    pv_close(&e->v);
    return NULL;
}

void close_lane(struct engine *e)
{
    free(e->lane);
}

pv_vcpu *pv_open_emulated(void *ram, uint64_t ram_bytes, uint32_t model, void *owner)
{
    const char *wrong;
    struct engine *e = open_lane(ram, ram_bytes, model, owner, &wrong);
    if (e && !track_for_signals(e)) {
        pv_close(&e->v);
        return NULL;
    }
    return e ? &e->v : NULL;
}

void pv_offer_pcids(pv_vcpu *v)
{
    ((struct engine *)v)->lane->offers_pcids = true;
}

int pv_map_mmio(pv_vcpu *v, uint64_t base, uint64_t n_bytes)
{
    struct engine *e = (struct engine *)v;
    struct lane *lane = e->lane;
    if (lane->n_mmio == LANE_MMIO)
        return -1;
    struct lane_mmio *range = &lane->mmio[lane->n_mmio++];
    *range = (struct lane_mmio){e, base};
    if (base < e->ram_bytes && unicorn.mem_unmap(e->uc, base, n_bytes))
        return -1;
    uc_hook hook;
    return unicorn.mmio_map(e->uc, base, n_bytes, lane_mmio_read, range, lane_mmio_write, range) ||
           unicorn.hook_add(e->uc, &hook, UC_HOOK_MEM_FETCH_PROT, (void *)lane_on_device_fetch, e, base,
                            base + n_bytes - 1);
}

int pv_enter_long_mode(pv_vcpu *v)
{
    struct engine *e = (struct engine *)v;
    uint64_t cr4 = CR4_PAE, cr0 = CR0_PE | CR0_ET | 1u << CR0_PG_SHIFT;
    uc_x86_msr efer = {MSR_EFER, EFER_LME};
    return write_register(e, UC_X86_REG_CR4, &cr4) || write_register(e, UC_X86_REG_MSR, &efer) ||
           write_register(e, UC_X86_REG_CR0, &cr0);
}

int pv_get_idtr(pv_vcpu *v, uint64_t *base, uint32_t *limit)
{
    uc_x86_mmr idtr = {0, 0, 0, 0};
    int error = unicorn.reg_read(((struct engine *)v)->uc, UC_X86_REG_IDTR, &idtr);
    *base = idtr.base;
    *limit = idtr.limit;
    return error;
}

/* IA32_TSC_AUX, whose upper half is reserved. */
uint32_t pv_tsc_aux(pv_vcpu *v)
{
    uc_x86_msr tsc_aux = {MSR_TSC_AUX, 0};
    unicorn.reg_read(((struct engine *)v)->uc, UC_X86_REG_MSR, &tsc_aux);
    return (uint32_t)tsc_aux.value;
}

void pv_get_control(pv_vcpu *v, uint64_t control[5])
{
    struct engine *e = (struct engine *)v;
    const uint64_t now[5] = {lane_cr0(e), lane_cr2(e), lane_cr3(e), lane_cr4(e), lane_efer(e)};
    memcpy(control, now, sizeof now);
}

void pv_inject(pv_vcpu *v, uint32_t vector)
{
    struct engine *e = (struct engine *)v;
    e->lane->injected = vector + 1;
    refresh_limit(e);
}

void pv_inject_nmi(pv_vcpu *v)
{
    struct engine *e = (struct engine *)v;
    v->nmi_pending = 0;
    e->lane->injected_nmi = true;
    pv_inject(v, VECTOR_NMI);
}

uint32_t pv_exception_chain(pv_vcpu *v, uint32_t index, uint32_t *vector, uint32_t *error_code, uint64_t *cr2)
{
    const struct lane *lane = ((struct engine *)v)->lane;
    if (index < lane->n_chain) {
        *vector = lane->chain[index].vector;
        *error_code = lane->chain[index].error;
        *cr2 = lane->chain[index].cr2;
    }
    return lane->n_chain;
}

/*
 * The engine ends a run by itself for two reasons, and calls both success: HLT, and a triple fault, at which the
 * delivery of #DF is still under way.
 */
uint32_t lane_stopped(struct engine *e)
{
    struct lane *lane = e->lane;
    uint64_t rip = e->v.regs->rip;
    if (lane->delivering_df) {
        lane->delivering = lane->delivering_df = false;
        open_exit(e, PV_EXIT_EXCEPTION, rip, 0);
        e->v.exit.n_ops = 0;
        e->v.exit.vector = lane->chain[0].vector;
        return PV_EXIT_EXCEPTION;
    }
    e->v.insns--; /* Python's part of an exit: it counts when it is complete */
    open_exit(e, PV_EXIT_HLT, rip - 1, rip);
    return PV_EXIT_HLT;
}
