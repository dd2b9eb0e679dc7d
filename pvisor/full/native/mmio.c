/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device memory in C: MOV of 32 bits to and from the local APIC, above all the end of an interrupt. Everything
 * else is left to full/mmio.py.
 */
#include "full/native/cpu.h"

enum { MOV_STORE = 0x89, MOV_LOAD = 0x8b, MOV_IMMEDIATE = 0xc7 };

static uint64_t *gpr_of(struct engine *e, const struct insn *insn, const struct modrm *m)
{
    return &e->v.regs->gpr[m->reg | (insn->rex & 4u) << 1];
}

/* The value to be stored and the end of the instruction, or false. */
static bool stored_value(struct engine *e, const struct insn *insn, const struct modrm *m, uint32_t *value,
                         const uint8_t **end)
{
    *end = insn->op + 1 + m->n_bytes;
    if (insn->op[0] == MOV_STORE) {
        *value = (uint32_t)*gpr_of(e, insn, m);
        return true;
    }
    bool relative = m->mod == 0 && m->rm == 5; /* to RIP, which is behind the immediate: Python's */
    if (insn->op[0] != MOV_IMMEDIATE || m->reg != 0 || relative || insn->end - *end < 4)
        return false;
    memcpy(value, *end, 4);
    *end += 4;
    return true;
}

/* A page fault that leads to `gpa`, where there is no RAM. */
bool device_access(struct engine *e, uint64_t gpa)
{
    pv_apic *apic = e->v.device[PV_DEVICE_APIC];
    pv_exit *x = &e->v.exit;
    struct insn insn;
    struct modrm m;
    uint32_t value;
    if (!apic || gpa - apic->base >= PAGE_BYTES || !parse(e, &insn) || operand_bytes(e, &insn) != 4 ||
        !parse_modrm(e, &insn, insn.op + 1, &m) || m.mod == 3 || m.address != x->cr2)
        return false;
    uint32_t offset = (uint32_t)(gpa - apic->base);
    const uint8_t *end = insn.op + 1 + m.n_bytes;
    if (insn.op[0] == MOV_LOAD) {
        if (!pv_apic_read(apic, offset, &value))
            return false;
        *gpr_of(e, &insn, &m) = value;
    } else if (!stored_value(e, &insn, &m, &value, &end) || !pv_apic_write(apic, offset, value)) {
        return false;
    }
    x->reason = PV_EXIT_MMIO;
    x->n_ops = 1;
    x->ops[0] = gpa;
    return step_over(e, end);
}
