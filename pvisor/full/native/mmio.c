/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device memory in C: MOV of 32 bits to and from the local APIC. Everything
 * else is left to full/mmio.py.
 */
#include "full/native/controllers.h"
#include "full/native/cpu.h"

enum { MOV_STORE = 0x89, MOV_LOAD = 0x8b, MOV_IMMEDIATE = 0xc7, MOV_LOAD_OFFSET = 0xa1, MOV_STORE_OFFSET = 0xa3 };

enum { FETCHED = 1 << 4 }; /* of a page fault's error code */

struct access {
    uint64_t address;          /* linear */
    uint64_t *gpr;             /* loaded or stored, or NULL: `immediate` is stored */
    uint32_t immediate;
    bool is_load;
    const uint8_t *end;        /* of the instruction */
};

/* MOV between EAX and an address that stands in the instruction. */
static bool parse_offset(struct engine *e, const struct insn *insn, struct access *a)
{
    uint32_t n_bytes = in_64bit_code(e) ? 8 : 4;
    if (insn->end - insn->op < 1 + (int)n_bytes)
        return false;
    memcpy(&a->address, insn->op + 1, n_bytes);
    if (insn->segment >= 0 || n_bytes == 4)
        a->address += segment_at(e, insn->segment >= 0 ? insn->segment : SEG_DS)->base;
    if (n_bytes == 4)
        a->address = (uint32_t)a->address;
    a->gpr = &e->v.regs->gpr[RAX];
    a->is_load = insn->op[0] == MOV_LOAD_OFFSET;
    a->end = insn->op + 1 + n_bytes;
    return true;
}

/* The code of a page fault has not been read yet. Where a fetch faulted there is none. */
static bool read_insn(struct engine *e)
{
    pv_exit *x = &e->v.exit;
    uint64_t linear = linear_of(e, x->rip);
    if (x->error_code & FETCHED)
        return false;
    const uint8_t *code = code_at(e, linear);
    x->n_insn = code ? 16 : fetch(e, linear, x->insn, 16);
    if (likely(code != NULL))
        memcpy(x->insn, code, 16);
    return true;
}

/* A MOV of 32 bits from or to memory, or false. */
static bool parse_access(struct engine *e, struct access *a)
{
    struct insn insn;
    struct modrm m;
    *a = (struct access){0};
    if (!read_insn(e) || !parse(e, &insn) || operand_bytes(e, &insn) != 4)
        return false;
    uint8_t opcode = insn.op[0];
    if (opcode == MOV_LOAD_OFFSET || opcode == MOV_STORE_OFFSET)
        return parse_offset(e, &insn, a);
    if (!parse_modrm(e, &insn, insn.op + 1, &m) || m.mod == 3)
        return false;
    a->address = m.address;
    a->is_load = opcode == MOV_LOAD;
    a->end = insn.op + 1 + m.n_bytes;
    if (opcode == MOV_LOAD || opcode == MOV_STORE) {
        a->gpr = &e->v.regs->gpr[m.reg | (insn.rex & 4u) << 1];
        return true;
    }
    bool is_relative = m.mod == 0 && m.rm == 5; /* to RIP, which is behind the immediate: Python's */
    if (opcode != MOV_IMMEDIATE || m.reg != 0 || is_relative || insn.end - a->end < 4)
        return false;
    memcpy(&a->immediate, a->end, 4);
    a->end += 4;
    return true;
}

/* A page fault that leads to `gpa`, where there is no RAM. */
bool device_access(struct engine *e, uint64_t gpa)
{
    pv_apic *apic = e->v.device[PV_DEVICE_APIC];
    pv_exit *x = &e->v.exit;
    struct access a;
    if (!apic || gpa - apic->base >= PAGE_BYTES || !parse_access(e, &a) || a.address != x->cr2)
        return false;
    uint32_t offset = (uint32_t)(gpa - apic->base), value;
    if (a.is_load) {
        if (!pv_apic_read(apic, offset, x->virtual_ns, &value))
            return false;
        *a.gpr = value;
    } else if (!apic_store(e, apic, offset, a.gpr ? (uint32_t)*a.gpr : a.immediate)) {
        return false;
    }
    x->reason = PV_EXIT_MMIO;
    x->n_ops = 1;
    x->ops[0] = gpa;
    return step_over(e, a.end);
}
