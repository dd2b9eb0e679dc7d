/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Forgetting one page's translation. Unicorn's API drops the whole TLB, and with it the way to every translated
 * block; its library exports QEMU's tlb_flush_page as well. That is used where a probe at start-up has shown that
 * it drops the page it is told, and no other; else the whole TLB goes.
 */
#include "selftest.h"
#include "api.h"

enum { TABLES = 4, FIRST = 0x4000, SECOND = 0x5000, OLD_FRAME = 0x2000, NEW_FRAME = 0x3000 };
enum { OLD = 0x11, NEW = 0x22 };

/* Reads two pages, traps, and reads them again. */
static const uint8_t guest[] = {
    0x8a, 0x04, 0x25, 0, FIRST >> 8, 0, 0,  0x8a, 0x1c, 0x25, 0, SECOND >> 8, 0, 0, /* mov al, [first]; bl, [second] */
    0xfa,                                                                          /* cli: #GP */
    0x8a, 0x0c, 0x25, 0, FIRST >> 8, 0, 0,  0x8a, 0x14, 0x25, 0, SECOND >> 8, 0, 0, /* mov cl, [first]; dl, [second] */
    0xf4,                                                                          /* hlt: #GP */
};
enum { CLI_AT = 14 };

struct page_probe {
    struct engine *e;
    page_flush *flush;
    void *cpu;
    uint64_t *entries;         /* of the last table */
    uint32_t n_traps;
};

static void on_trap(uc_engine *uc, uint32_t vector, void *user)
{
    struct page_probe *probe = user;
    struct engine *e = probe->e;
    (void)vector;
    *state32(e, e->at.old_exception) = (uint32_t)-1;
    if (probe->n_traps++ || e->v.regs->rip != 0x1000 + CLI_AT) {
        unicorn.emu_stop(uc);
        return;
    }
    for (int page = FIRST >> 12; page <= SECOND >> 12; page++)
        probe->entries[page] ^= OLD_FRAME ^ NEW_FRAME;
    probe->flush(probe->cpu, FIRST);
    e->v.regs->rip++;
}

static void lay_out(uint8_t *hv, uint8_t *ram)
{
    uint64_t *tables = (uint64_t *)hv, *last = tables + (TABLES - 1) * 512;
    memset(hv, 0, TABLES * PAGE_BYTES);
    for (int level = 0; level < TABLES - 1; level++)
        tables[level * 512] = (HV_BASE + (uint64_t)(level + 1) * PAGE_BYTES) | 3;
    last[1] = 0x1000 | 0x61;
    last[FIRST >> 12] = last[SECOND >> 12] = OLD_FRAME | 0x61 | 1ull << 63;
    memcpy(ram + 0x1000, guest, sizeof guest);
    ram[OLD_FRAME] = OLD;
    ram[NEW_FRAME] = NEW;
}

/* Fills probed.flush_page, if the function is there and does what it should. `pages`: eight of them. */
void probe_page_flush(struct engine *e, uint8_t *pages)
{
    uint8_t *ram = pages, *hv = pages + 4 * PAGE_BYTES;
    struct page_probe probe = {.e = e, .entries = (uint64_t *)(hv + (TABLES - 1) * PAGE_BYTES)};
    uint64_t root = HV_BASE;
    uc_hook hook;
    *(void **)&probe.flush = unicorn_symbol("tlb_flush_page_x86_64");
    lay_out(hv, ram);
    e->at = probed.at;
    if (!probe.flush || !open_engine(e, PV_REPAIR_STATE, ram, 4 * PAGE_BYTES, hv, 4 * PAGE_BYTES))
        return;
    uint8_t *cpu = find_cpu_object(e->uc, e->state);
    probe.cpu = cpu;
    if (!cpu || unicorn.hook_add(e->uc, &hook, UC_HOOK_INTR, (void *)on_trap, &probe, 1, 0) ||
        write_register(e, UC_X86_REG_CR3, &root) || unicorn.emu_start(e->uc, 0x1000, 0, 0, 0))
        return;
    const uint64_t *gpr = e->v.regs->gpr;
    if (probe.n_traps != 2 || gpr[RAX] != OLD || gpr[RBX] != OLD || gpr[RCX] != NEW || gpr[RDX] != OLD)
        return;
    probed.flush_page = probe.flush;
    probed.cpu_before_state = (uint32_t)(e->state - cpu);
}

/*
 * The engine's TLB begins with 256 entries, and is made larger or smaller, by how many were in use, when it is flushed
 * (QEMU's accel/tcg/cputlb.c, tlb_mmu_resize_locked). A guest that never changes its address space would keep a
 * TLB that is too small for ever: so it is flushed now and then, which costs it a thousandth of its time at most.
 */
void let_tlb_grow(struct engine *e)
{
    enum { PERIOD_INSNS = 1 << 25 };
    if (e->v.insns < e->next_tlb_growth)
        return;
    e->next_tlb_growth = e->v.insns + PERIOD_INSNS;
    pv_flush_tlb(&e->v);
}

static bool on_no_fetch(uc_engine *uc, uc_mem_type type, uint64_t address, int n_bytes, int64_t value, void *user)
{
    (void)uc, (void)type, (void)address, (void)n_bytes, (void)value, (void)user;
    return false; /* as if nobody had been asked */
}

/*
 * With each block that it translates, the engine goes through its whole TLB for entries by which a store to the
 * block's address would go unseen. Under W^X there is none, and the lane looks for more (emu/native/blocks.c). It does
 * so only where no memory hook covers the block's *linear* address; stores are slow where one covers their *physical*
 * address (Unicorn 2.1.4, tb_gen_code and notdirty_write). So there is a hook of a kind that is never called behind
 * the end of RAM, and stands there.
 */
void spare_search_of_tlb(struct engine *e)
{
    uc_hook hook;
    unicorn.hook_add(e->uc, &hook, UC_HOOK_MEM_FETCH_PROT, (void *)on_no_fetch, e, e->ram_bytes, UINT64_MAX);
}

/* The page's translation in the engine's TLB is forgotten, and perhaps all others. */
void flush_page(struct engine *e, uint64_t gva)
{
    if (likely(probed.flush_page != NULL && e->v.repair == PV_REPAIR_STATE))
        probed.flush_page(e->state - probed.cpu_before_state, gva);
    else
        pv_flush_tlb(&e->v);
}

void pv_flush_page(pv_vcpu *v, uint64_t gva)
{
    flush_page((struct engine *)v, gva);
}
