/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page faults in C: the shadow is filled, or the guest gets the fault that is its own; INVLPG (full/paging.py). */
#include "full/native/cpu.h"

/* Bits of a key; with PCIDs, CR3's low 12 bits stand at the top, above any physical address. full/paging.py has the same. */
enum { KEY_UNPAGED = 1, KEY_PAGED = 2, KEY_LONG = 4, KEY_PAE = 8, KEY_PCID = 16, KEY_PCID_SHIFT = 48 };
#define KEY_PCID_MASK (0xfffull << KEY_PCID_SHIFT | KEY_PCID)

static uint64_t key_of_space(const pv_cpu *c)
{
    if (!(c->cr0 & CR0_PG))
        return KEY_UNPAGED;
    uint64_t mode = KEY_PAGED | (c->efer & EFER_LMA ? KEY_LONG : 0) | (c->cr4 & CR4_PAE ? KEY_PAE : 0);
    if (c->cr4 & CR4_PCIDE)
        return (c->cr3 & ~0xfffull) | (c->cr3 & 0xfff) << KEY_PCID_SHIFT | KEY_PCID | mode;
    return (c->cr3 & ~0x1full) | mode;
}

/*
 * CR3 was loaded, or what it means has changed: the shadow of these tables, in this mode, is current. Unless `keeps`,
 * whatever is tagged with its PCID is flushed, of other tables, too (SDM 3A 4.10.4.1).
 */
void switch_space(struct engine *e, bool keeps)
{
    uint64_t key = key_of_space(cpu_of(e));
    if (key & KEY_PCID && !keeps)
        pv_shadow_flush(&e->v, KEY_PCID_MASK, key & KEY_PCID_MASK);
    pv_shadow_switch(&e->v, key, keeps);
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
    pv_shadow_drop(&e->v, m.address, cpu_of(e)->cr4 & CR4_PCIDE);
    return step_over(e, insn.op + 2 + m.n_bytes);
}

const struct native full_paging_natives[] = {
    {"page_fault", PV_EXIT_PAGE_FAULT, 0, 0, page_fault},
    {"invlpg", PV_EXIT_INVLPG, 0, 0, invlpg},
};
const uint32_t n_full_paging_natives = sizeof full_paging_natives / sizeof full_paging_natives[0];
