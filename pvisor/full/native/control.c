/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MOV to and from CR0, CR2, CR3 and CR4, and CLTS, in C, where paging goes on as it is (full/control.py). CR8 is
 * the local APIC's, so Python does it.
 */
#include "full/native/controllers.h"
#include "full/native/cpu.h"

/* Bits of CR0 with which a change neither begins nor ends anything: MP EM TS NE AM. */
#define CR0_FREE (CR0_MP | CR0_EM | CR0_TS | 1u << 5 | CR0_AM)
#define CR0_DEFINED 0xe005003full
#define CR3_KEEPS (1ull << 63) /* in a load of CR3 while CR4.PCIDE is set: nothing is flushed */
#define CR3_RESERVED (~0ull << PHYSICAL_BITS)
#define PDPTE_RESERVED (~0ull << PHYSICAL_BITS | 0x1e6)

static bool write_cr0(struct engine *e, uint64_t value)
{
    pv_cpu *c = cpu_of(e);
    if (value >> 32)
        return false;
    value = (value & CR0_DEFINED) | CR0_ET;
    if ((value ^ c->cr0) & ~(uint64_t)CR0_FREE)
        return false;
    c->cr0 = value;
    pv_set_cr0(&e->v, value);
    return true;
}

/* PAE paging keeps its four top entries in the CPU (SDM 3A 4.4.1). */
static bool load_pdptes(struct engine *e, uint64_t cr3)
{
    uint64_t at = cr3 & 0xffffffe0, entries[4];
    if (at + sizeof entries > e->ram_bytes)
        return false;
    memcpy(entries, e->ram + at, sizeof entries);
    for (int i = 0; i < 4; i++)
        if (entries[i] & 1 && entries[i] & PDPTE_RESERVED)
            return false;
    memcpy(cpu_of(e)->pdpte, entries, sizeof entries);
    return true;
}

static bool write_cr3(struct engine *e, uint64_t value)
{
    pv_cpu *c = cpu_of(e);
    bool keeps = c->cr4 & CR4_PCIDE && value & CR3_KEEPS;
    if (keeps)
        value &= ~CR3_KEEPS;
    if (is_long(e) ? value & CR3_RESERVED : c->cr0 & CR0_PG && c->cr4 & CR4_PAE && !load_pdptes(e, value))
        return false;
    c->cr3 = value;
    switch_space(e, keeps);
    return true;
}

/* PGE, above all: kernels clear and set it to drop global entries. */
static bool write_cr4(struct engine *e, uint64_t value)
{
    pv_cpu *c = cpu_of(e);
    if (value & ~c->cr4_offered || (value ^ c->cr4) & (CR4_PSE | CR4_PAE | CR4_TSD | CR4_PCIDE))
        return false;
    c->cr4 = value;
    pv_set_cr4(&e->v, value);
    pv_shadow_flush(&e->v, 0, 0);
    switch_space(e, false);
    return true;
}

/* CR8: bits 7 to 4 of the local APIC's task priority; writing it clears the lower four (SDM 3A 10.8.6.1). */
static bool write_cr8(struct engine *e, uint64_t value)
{
    pv_apic *apic = e->v.device[PV_DEVICE_APIC];
    if (!apic || value >> 4)
        return false;
    apic->tpr = (uint32_t)value << 4;
    apic_update(apic);
    follow_apic(e, apic);
    return true;
}

static bool write_control(struct engine *e, uint32_t number, uint64_t value)
{
    switch (number) {
    case 0: return write_cr0(e, value);
    case 2: cpu_of(e)->cr2 = value; return true;
    case 3: return write_cr3(e, value);
    case 4: return write_cr4(e, value);
    case 8: return write_cr8(e, value);
    default: return false;
    }
}

static bool read_control(struct engine *e, uint32_t number, uint64_t *value)
{
    const pv_cpu *c = cpu_of(e);
    const pv_apic *apic = e->v.device[PV_DEVICE_APIC];
    switch (number) {
    case 0: *value = c->cr0; return true;
    case 2: *value = c->cr2; return true;
    case 3: *value = c->cr3; return true;
    case 4: *value = c->cr4; return true;
    case 8: *value = apic ? apic->tpr >> 4 : 0; return apic;
    default: return false;
    }
}

static bool mov_cr(struct engine *e)
{
    pv_exit *x = &e->v.exit;
    struct insn insn;
    if (!is_pc(e) || !parse(e, &insn) || insn.has_operand_prefix || insn.segment >= 0 || insn.end - insn.op < 3)
        return false;
    uint8_t modrm = insn.op[2];
    if (modrm < 0xc0) /* the CPU takes it for a register, whatever it says; so does Python's decoder, or not */
        return false;
    uint32_t number = (modrm >> 3 & 7) | (insn.rex & 4u) << 1;
    uint64_t *gpr = &e->v.regs->gpr[(modrm & 7) | (insn.rex & 1u) << 3];
    uint64_t mask = in_64bit_code(e) ? UINT64_MAX : 0xffffffff, value = *gpr & mask;
    if (insn.op[1] == 0x20) {
        if (!read_control(e, number, &value))
            return false;
        *gpr = value & mask;
        x->n_ops = 1;
    } else {
        if (!write_control(e, number, value))
            return false;
        x->n_ops = 2;
        x->ops[1] = value;
    }
    x->ops[0] = number;
    return step_over(e, insn.op + 3);
}

static bool clts(struct engine *e)
{
    struct insn insn;
    if (!is_pc(e) || !parse(e, &insn) || insn.has_operand_prefix || insn.segment >= 0 || insn.end - insn.op < 2)
        return false;
    return write_cr0(e, cpu_of(e)->cr0 & ~(uint64_t)CR0_TS) && step_over(e, insn.op + 2);
}

const struct native full_control_natives[] = {
    {"mov_cr", PV_EXIT_MOV_CR, 0, 0, mov_cr},
    {"clts", PV_EXIT_CLTS, 0, 0, clts},
};
const uint32_t n_full_control_natives = sizeof full_control_natives / sizeof full_control_natives[0];
