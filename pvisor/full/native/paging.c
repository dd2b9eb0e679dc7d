/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page faults in C: the shadow is filled, or the guest gets the fault that is its own; INVLPG (full/paging.py). */
#include "full/native/cpu.h"

/* CR3 was loaded, or what it means has changed: the shadow of these tables, in this mode, is current. */
void switch_space(struct engine *e)
{
    const pv_cpu *c = cpu_of(e);
    uint64_t key = 1;
    if (c->cr0 & CR0_PG)
        key = (c->cr3 & ~0x1full) | 2 | (c->efer & EFER_LMA ? 4 : 0) | (c->cr4 & CR4_PAE ? 8 : 0);
    pv_shadow_switch(&e->v, key);
}

static uint32_t access_of(uint32_t error_code)
{
    return (error_code & 4 ? USER : 0) | (error_code & 16 ? FETCH : error_code & 2 ? WRITE : READ);
}

static void fill(struct engine *e, const struct mapping *m, uint32_t access)
{
    pv_exit *x = &e->v.exit;
    uint32_t what = (m->writable && m->dirty ? PV_FILL_WRITABLE : 0) | (m->user ? PV_FILL_USER : 0) |
                    (m->no_execute ? PV_FILL_NO_EXECUTE : 0) | (access & WRITE ? PV_FILL_WRITE : 0) |
                    (access & FETCH ? PV_FILL_FETCH : 0);
    if (m->page_shift > 12)
        what |= PV_FILL_LARGE | m->page_shift << PV_FILL_SHIFT;
    pv_shadow_fill(&e->v, x->cr2, m->gpa, what, linear_of(e, x->rip), m->tables, m->n_tables);
    x->reason = PV_EXIT_SHADOW_FILL;
}

static bool page_fault(struct engine *e)
{
    pv_exit *x = &e->v.exit;
    struct mapping m;
    if (!is_pc(e))
        return false;
    uint32_t access = access_of(x->error_code);
    enum walked walked = guest_walk(e, x->cr2, access, &m);
    if (likely(walked == WALKED)) {
        if (m.gpa >= e->ram_bytes)
            return device_access(e, m.gpa);
        fill(e, &m, access);
        return true;
    }
    if (walked != WALK_PAGE_FAULT || e->v.nmi_blocked || !reflect(e, x->vector, m.error_code))
        return false;
    cpu_of(e)->cr2 = m.cr2;
    x->ops[1] = m.error_code;
    return true;
}

static bool invlpg(struct engine *e)
{
    pv_exit *x = &e->v.exit;
    struct insn insn;
    struct modrm m;
    if (!is_pc(e) || !parse(e, &insn) || insn.has_operand_prefix || insn.end - insn.op < 3 || insn.op[1] != 0x01)
        return false;
    if (!parse_modrm(e, &insn, insn.op + 2, &m) || m.mod == 3)
        return false;
    x->n_ops = 1;
    x->ops[0] = m.address;
    pv_shadow_drop(&e->v, m.address);
    return step_over(e, insn.op + 2 + m.n_bytes);
}

const struct native full_paging_natives[] = {
    {"page_fault", PV_EXIT_PAGE_FAULT, 0, 0, page_fault},
    {"invlpg", PV_EXIT_INVLPG, 0, 0, invlpg},
};
const uint32_t n_full_paging_natives = sizeof full_paging_natives / sizeof full_paging_natives[0];
