/* SPDX-License-Identifier: GPL-2.0-or-later */
/* RDMSR and WRMSR in C, of MSRs that are a field of the CPU state or the base of FS or GS (full/msrs.py). */
#include "full/native/cpu.h"

/* SDM 4, table 2-2. */
enum {
    MSR_TSC = 0x10, MSR_TSC_ADJUST = 0x3b, MSR_SYSENTER_CS = 0x174, MSR_SYSENTER_ESP = 0x175, MSR_SYSENTER_EIP = 0x176,
    MSR_MISC_ENABLE = 0x1a0, MSR_PAT = 0x277,
};
#define MSR_EFER 0xc0000080u
#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_CSTAR 0xc0000083u
#define MSR_FMASK 0xc0000084u
#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX 0xc0000103u

/* The field that an MSR reads as, or NULL. */
static uint64_t *field_of(pv_cpu *c, uint32_t index)
{
    switch (index) {
    case MSR_TSC_ADJUST: return &c->tsc_adjust;
    case MSR_SYSENTER_CS: return &c->sysenter_cs;
    case MSR_SYSENTER_ESP: return &c->sysenter_esp;
    case MSR_SYSENTER_EIP: return &c->sysenter_eip;
    case MSR_MISC_ENABLE: return &c->misc_enable;
    case MSR_PAT: return &c->pat;
    case MSR_EFER: return &c->efer;
    case MSR_STAR: return &c->star;
    case MSR_LSTAR: return &c->lstar;
    case MSR_CSTAR: return &c->cstar;
    case MSR_FMASK: return &c->fmask;
    case MSR_KERNEL_GS_BASE: return &c->kernel_gs_base;
    case MSR_TSC_AUX: return c->has_tsc_aux ? &c->tsc_aux : NULL;
    default: return NULL;
    }
}

/* Behind `0F xx` without prefixes, or NULL. */
static const uint8_t *end_of(struct engine *e)
{
    struct insn insn;
    if (!is_pc(e) || !parse(e, &insn) || insn.op != e->v.exit.insn || insn.end - insn.op < 2)
        return NULL;
    return insn.op + 2;
}

static bool rdmsr(struct engine *e)
{
    const uint8_t *end = end_of(e);
    uint64_t *gpr = e->v.regs->gpr, value;
    if (!end)
        return false;
    pv_cpu *c = cpu_of(e);
    uint32_t index = (uint32_t)gpr[RCX];
    const uint64_t *field = field_of(c, index);
    if (field)
        value = *field;
    else if (index == MSR_FS_BASE || index == MSR_GS_BASE)
        value = segment_at(e, index == MSR_FS_BASE ? SEG_FS : SEG_GS)->base;
    else if (index == MSR_TSC)
        value = e->v.exit.virtual_ns + c->tsc_offset;
    else
        return false;
    gpr[RAX] = (uint32_t)value;
    gpr[RDX] = value >> 32;
    return step_over(e, end);
}

/* Has the MSR a value that this one is not: an address that is not canonical, or more than 32 bits? */
static bool is_refused(uint32_t index, uint64_t value)
{
    switch (index) {
    case MSR_STAR: return false;
    case MSR_FMASK: case MSR_TSC_AUX: case MSR_SYSENTER_CS: return value >> 32;
    default: return !is_canonical(value);
    }
}

static bool wrmsr(struct engine *e)
{
    const uint8_t *end = end_of(e);
    const uint64_t *gpr = e->v.regs->gpr;
    if (!end)
        return false;
    uint32_t index = (uint32_t)gpr[RCX];
    uint64_t value = (uint32_t)gpr[RAX] | gpr[RDX] << 32;
    if (is_refused(index, value))
        return false;
    switch (index) {
    case MSR_FS_BASE: case MSR_GS_BASE:
        set_base(e, index == MSR_FS_BASE ? SEG_FS : SEG_GS, value);
        break;
    case MSR_STAR: case MSR_LSTAR: case MSR_CSTAR: case MSR_FMASK: case MSR_KERNEL_GS_BASE: case MSR_TSC_AUX:
    case MSR_SYSENTER_CS: case MSR_SYSENTER_ESP: case MSR_SYSENTER_EIP: {
        uint64_t *field = field_of(cpu_of(e), index);
        if (!field)
            return false;
        *field = value;
        break;
    }
    default:
        return false;
    }
    return step_over(e, end);
}

const struct native full_msrs_natives[] = {
    {"rdmsr", PV_EXIT_RDMSR, 0, 0, rdmsr},
    {"wrmsr", PV_EXIT_WRMSR, 0, 0, wrmsr},
};
const uint32_t n_full_msrs_natives = sizeof full_msrs_natives / sizeof full_msrs_natives[0];
