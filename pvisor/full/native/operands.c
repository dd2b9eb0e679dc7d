/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions taken apart as far as native handlers need it: prefixes, ModRM, the stack. What is out of the
 * ordinary (16-bit code and addresses, prefixes that mean nothing) is left to full/system_operands.py.
 */
#include "full/native/cpu.h"

enum { OPERAND_SIZE = 0x66 };
enum { RIP_RELATIVE = -2, NONE = -1 };

/* The instruction in exit.insn as far as its opcode. False: Python shall decode it. */
bool parse(struct engine *e, struct insn *insn)
{
    const pv_exit *x = &e->v.exit;
    const uint8_t *op = x->insn, *end = op + x->n_insn;
    bool mode64 = in_64bit_code(e);
    if (!mode64 && !(current_hflags(e) & HF_CS32))
        return false;
    *insn = (struct insn){.end = end, .segment = NONE};
    for (; op < end; op++) {
        if (*op == OPERAND_SIZE)
            insn->has_operand_prefix = true;
        else if (*op == 0x64 || *op == 0x65)
            insn->segment = *op == 0x64 ? SEG_FS : SEG_GS;
        else
            break;
    }
    if (mode64 && op < end && (*op & 0xf0) == 0x40)
        insn->rex = *op++;
    insn->op = op;
    return end - op >= 1 && !is_prefix(*op, mode64);
}

static int32_t signed_at(const uint8_t *at, uint32_t n_bytes)
{
    int32_t value = 0;
    if (n_bytes == 1)
        return (int8_t)*at;
    memcpy(&value, at, n_bytes);
    return value;
}

/* Base, index and displacement of a memory operand (SDM 2A 2.1.5, 2.2.1); `at` is behind ModRM. */
static bool parse_address(struct engine *e, const struct insn *insn, const uint8_t *at, struct modrm *m)
{
    bool mode64 = in_64bit_code(e);
    const uint8_t *begin = at;
    int base = (int)(m->rm | (insn->rex & 1u) << 3), index = NONE;
    uint32_t scale = 0, n_displacement = m->mod == 1 ? 1 : m->mod == 2 ? 4 : 0;
    if (m->rm == 4) {
        if (at == insn->end)
            return false;
        uint8_t sib = *at++;
        base = (sib & 7) | (insn->rex & 1) << 3;
        index = (sib >> 3 & 7) | (insn->rex & 2) << 2;
        scale = sib >> 6;
        if (index == 4)
            index = NONE;
        if (m->mod == 0 && (sib & 7) == 5) {
            base = NONE;
            n_displacement = 4;
        }
    } else if (m->mod == 0 && m->rm == 5) {
        base = mode64 ? RIP_RELATIVE : NONE;
        n_displacement = 4;
    }
    if (insn->end - at < (int)n_displacement)
        return false;
    const uint64_t *gpr = e->v.regs->gpr;
    uint64_t address = (uint64_t)(int64_t)signed_at(at, n_displacement);
    at += n_displacement;
    m->n_bytes += (uint32_t)(at - begin);
    if (base == RIP_RELATIVE)
        address += e->v.exit.rip + (uint64_t)(at - e->v.exit.insn); /* no immediate follows in what is served here */
    else if (base != NONE)
        address += gpr[base];
    if (index != NONE)
        address += gpr[index] << scale;
    int segment = insn->segment != NONE ? insn->segment : base == RSP || base == RBP ? SEG_SS : SEG_DS;
    if (!mode64)
        m->address = (uint32_t)((uint32_t)address + segment_at(e, segment)->base);
    else
        m->address = segment >= SEG_FS ? address + segment_at(e, segment)->base : address;
    return true;
}

/* ModRM at `at`, and the address that it names. False: bytes are missing. */
bool parse_modrm(struct engine *e, const struct insn *insn, const uint8_t *at, struct modrm *m)
{
    if (at >= insn->end)
        return false;
    *m = (struct modrm){.mod = *at >> 6, .reg = *at >> 3 & 7, .rm = *at & 7, .n_bytes = 1};
    return m->mod == 3 || parse_address(e, insn, at + 1, m);
}

uint32_t operand_bytes(struct engine *e, const struct insn *insn)
{
    (void)e;
    return insn->rex & 8 ? 8 : insn->has_operand_prefix ? 2 : 4;
}

/* Of a push or a pop: 64-bit code has no 4, and there REX.W overrules the prefix. */
uint32_t stack_bytes(struct engine *e, const struct insn *insn)
{
    return insn->has_operand_prefix && !(insn->rex & 8) ? 2 : in_64bit_code(e) ? 8 : 4;
}

/* 64-bit code has a 64-bit stack; else the B flag of SS says (SDM 1 6.2.3). */
static uint64_t stack_mask(struct engine *e)
{
    if (in_64bit_code(e))
        return UINT64_MAX;
    return segment_at(e, SEG_SS)->flags & SEGMENT_BIG ? 0xffffffffull : 0xffffull;
}

uint64_t stack_address(struct engine *e, uint64_t rsp)
{
    uint64_t mask = stack_mask(e);
    return mask == UINT64_MAX ? rsp : (uint32_t)((rsp & mask) + segment_at(e, SEG_SS)->base);
}

uint64_t moved_stack(struct engine *e, int64_t n_bytes)
{
    uint64_t mask = stack_mask(e), rsp = e->v.regs->gpr[RSP], moved = (rsp + (uint64_t)n_bytes) & mask;
    return mask == 0xffff ? (rsp & ~mask) | moved : moved;
}
