/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An engine's life: opened on the domain's memory, deprivileged, its registers, its end. */
#include "selftest.h"
#include "api.h"

#include <stdlib.h>

/*
 * The real CPU is set once and stays so; the guest's own control registers are virtual.
 *   CR0: PG PE WP NE ET MP   TS and EM clear: SSE and x87 belong to the guest
 *   CR4: PAE OSFXSR OSXMMEXCPT   TSD clear (RDTSC is intercepted instead); FSGSBASE clear; OSXSAVE until a PC sets it
 *   EFER: LMA LME NXE SCE   (SDM 3A 2.5, 2.2.1)
 * The model is Sandy Bridge, or an older one (cpu/models.py): Unicorn's default, Haswell, would run RDRAND, and no two
 * runs would be equal.
 */
enum { CR0_TS = 1 << 3, CR4_OSXSAVE = 1 << 18, XCR0_X87 = 1, XCR0_SSE = 2 };
enum { REAL_CR0 = 0x80010033u, REAL_CR4 = 0x620u, REAL_EFER = 0xd01u, MSR_EFER = 0xc0000080u };

/*
 * Where translated code goes. Unicorn would take 1 GiB, so that the second engine's lies beyond 2 GiB from the
 * library and each call from translated code into it is an indirect one: guests ran 20 to 40 % slower. When the
 * buffer is full, everything is translated anew.
 */
enum { CODE_BUFFER_BYTES = 128 << 20 };

static bool reset_registers(struct engine *e);

/* What every engine begins with: a CPU on guest RAM at 0, its general registers 0, its FPU as after FNINIT. */
bool open_cpu(struct engine *e, enum pv_repair repair, void *ram, uint64_t ram_bytes)
{
    e->ram = ram;
    e->ram_bytes = ram_bytes;
    e->generation = 1;
    take_epoch(e);
    if (unicorn.open(UC_ARCH_X86, UC_MODE_64, &e->uc))
        return false;
    if (unicorn.ctl(e->uc, UC_CTL_WRITE(UC_CTL_TCG_BUFFER_SIZE, 1), CODE_BUFFER_BYTES))
        return false;
    if (unicorn.ctl(e->uc, UC_CTL_WRITE(UC_CTL_CPU_MODEL, 1), e->model ? e->model : UC_CPU_X86_SANDYBRIDGE))
        return false;
    if (unicorn.mem_map_ptr(e->uc, 0, ram_bytes, UC_PROT_ALL, ram))
        return false;
    /* No address ends a run: with an empty set of exits `until` is ignored. */
    if (unicorn.ctl(e->uc, UC_CTL_WRITE(UC_CTL_UC_USE_EXITS, 1), 1))
        return false;
    return attach_state(e, repair) && reset_registers(e);
}

/* General registers 0, x87 as after FNINIT, SSE as after a reset (SDM 1 8.1.5, 10.2.3); Unicorn leaves MXCSR 0. */
static bool reset_registers(struct engine *e)
{
    memset(e->v.regs->gpr, 0, sizeof e->v.regs->gpr);
    static const uint64_t zero[2];
    for (int i = 0; i < 16; i++)
        if (write_register(e, UC_X86_REG_XMM0 + i, zero) || (i < 8 && write_register(e, UC_X86_REG_FP0 + i, zero)))
            return false;
    uint16_t control = 0x37f, status = 0, tags = 0xffff;
    uint32_t mxcsr = 0x1f80;
    return !write_register(e, UC_X86_REG_FPCW, &control) && !write_register(e, UC_X86_REG_FPSW, &status) &&
           !write_register(e, UC_X86_REG_FPTAG, &tags) && !write_register(e, UC_X86_REG_MXCSR, &mxcsr);
}

bool open_engine(struct engine *e, enum pv_repair repair, void *ram, uint64_t ram_bytes, void *hv, uint64_t hv_bytes)
{
    if (!open_cpu(e, repair, ram, ram_bytes))
        return false;
    e->hv = hv;
    e->hv_bytes = hv_bytes;
    if (unicorn.mem_map_ptr(e->uc, HV_BASE, hv_bytes, UC_PROT_ALL, hv))
        return false;
    uint64_t cr4 = REAL_CR4, cr0 = REAL_CR0;
    uc_x86_msr efer = {MSR_EFER, REAL_EFER};
    uc_x86_mmr no_table = {0, 0, 0, 0};
    if (write_register(e, UC_X86_REG_CR4, &cr4) || write_register(e, UC_X86_REG_MSR, &efer) ||
        write_register(e, UC_X86_REG_CR0, &cr0) || write_register(e, UC_X86_REG_GDTR, &no_table) ||
        write_register(e, UC_X86_REG_IDTR, &no_table))
        return false;

    /* Ring 1 from the first instruction on: flat 64-bit code, everything else null or flat data. */
    const pv_segment code = {.selector = 0x09, .limit = 0xffffffff, .flags = 0x00a0bb00},
                     data = {.selector = 0x11, .limit = 0xffffffff, .flags = 0x00c0b300}, null = {0};
    set_segment(e, SEG_CS, &code);
    set_segment(e, SEG_SS, &data);
    set_segment(e, SEG_DS, &null);
    set_segment(e, SEG_ES, &null);
    set_segment(e, SEG_FS, &null);
    set_segment(e, SEG_GS, &null);
    state_store(e);
    return true;
}

void close_engine(struct engine *e)
{
    close_shadow(e);
    close_code(e);
    if (e->context)
        unicorn.context_free(e->context);
    if (e->uc && !e->n_aborts)
        unicorn.close(e->uc);
    close_grants(e);
    e->context = NULL;
    e->uc = NULL;
}

pv_vcpu *pv_open(void *ram, uint64_t ram_bytes, void *hv, uint64_t hv_bytes, uint32_t model, void *owner)
{
    struct engine *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->at = probed.at;
    e->model = model;
    e->v.owner = owner;
    e->v.budget = UINT64_MAX;
    e->v.sti_insns = e->v.rf_insns = UINT64_MAX;
    e->v.deadline_ns = e->v.slice_ns = UINT64_MAX;
    if (!probed.repair || !open_engine(e, probed.repair, ram, ram_bytes, hv, hv_bytes) || !track_for_signals(e)) {
        pv_close(&e->v);
        return NULL;
    }
    catch_aborts();
    install_hooks(e);
    spare_search_of_tlb(e);
    refresh_limit(e);
    return &e->v;
}

/* What the last exit still had to set goes to the registers before, and nothing waits for the vCPU after. */
int pv_reset_registers(pv_vcpu *v)
{
    struct engine *e = (struct engine *)v;
    pv_complete(v);
    v->event_pending = v->nmi_pending = v->nmi_blocked = 0;
    v->sti_insns = v->rf_insns = UINT64_MAX;
    e->n_open_operations = 0;
    bool is_reset = reset_registers(e) && !pv_set_cr0(v, REAL_CR0) && !pv_set_rflags(v, 2);
    state_store(e);
    return is_reset ? 0 : -1;
}

void pv_close(pv_vcpu *v)
{
    struct engine *e = (struct engine *)v;
    untrack_for_signals(e);
    close_engine(e);
    close_lane(e);
    free(e->records);
    free(e->places);
    free(e);
}

/* Writes a segment register with its hidden part, and what QEMU derives from it (cpu_x86_load_seg_cache). */
void set_segment(struct engine *e, int index, const pv_segment *segment)
{
    uint8_t *cache = e->state + e->at.segs + 24 * index;
    memcpy(cache, &segment->selector, 4);
    memcpy(cache + 8, &segment->base, 8);
    memcpy(cache + 16, &segment->limit, 4);
    memcpy(cache + 20, &segment->flags, 4);

    uint32_t *hflags = state32(e, e->at.hflags);
    uint64_t bases = *state64(e, e->at.segs + 24 * SEG_DS + 8) | *state64(e, e->at.segs + 24 * SEG_ES + 8) |
                     *state64(e, e->at.segs + 24 * SEG_SS + 8);
    uint32_t code = *state32(e, e->at.segs + 24 * SEG_CS + 20), stack = *state32(e, e->at.segs + 24 * SEG_SS + 20);
    uint32_t flags = *hflags & ~(uint32_t)(HF_CPL | HF_CS32 | HF_SS32 | HF_ADDSEG | HF_CS64);
    flags |= (code >> 13) & HF_CPL;
    if (code & (1u << 21))
        flags |= HF_CS64 | HF_CS32 | HF_SS32;
    else
        flags |= (code & (1u << 22) ? HF_CS32 : 0) | (stack & (1u << 22) ? HF_SS32 : 0) |
                 (bases || !(code & (1u << 22)) ? HF_ADDSEG : 0);
    *hflags = flags;
}

void pv_set_segment(pv_vcpu *v, int index, const pv_segment *segment)
{
    set_segment((struct engine *)v, index, segment);
}

void pv_get_segment(pv_vcpu *v, int index, pv_segment *segment)
{
    struct engine *e = (struct engine *)v;
    const uint8_t *cache = e->state + e->at.segs + 24 * index;
    memcpy(&segment->selector, cache, 4);
    memcpy(&segment->base, cache + 8, 8);
    memcpy(&segment->limit, cache + 16, 4);
    memcpy(&segment->flags, cache + 20, 4);
}

uint64_t pv_linear(pv_vcpu *v, uint64_t rip)
{
    return linear_of((struct engine *)v, rip);
}

uint32_t pv_cpl(pv_vcpu *v)
{
    return current_hflags((struct engine *)v) & HF_CPL;
}

int pv_set_root(pv_vcpu *v, uint64_t root)
{
    struct engine *e = (struct engine *)v;
    v->cr3 = root;
    if (e->code)
        enter_space(e, root);
    else
        new_epoch(e);
    return write_register(e, UC_X86_REG_CR3, &root);
}

int pv_set_gdtr(pv_vcpu *v, uint64_t base, uint32_t limit)
{
    uc_x86_mmr gdtr = {0, base, limit, 0};
    return write_register((struct engine *)v, UC_X86_REG_GDTR, &gdtr);
}

/* IDTR, TR and LDTR as the guest set them, for SIDT, STR and SLDT to show. They have no effect of their own. */
int pv_show_tables(pv_vcpu *v, uint64_t idt_base, uint32_t idt_limit, uint32_t tr, uint32_t ldtr)
{
    struct engine *e = (struct engine *)v;
    uc_x86_mmr idtr = {0, idt_base, idt_limit, 0}, task = {(uint16_t)tr, 0, 0, 0x8b00}, local = {(uint16_t)ldtr, 0, 0, 0};
    return write_register(e, UC_X86_REG_IDTR, &idtr) || write_register(e, UC_X86_REG_TR, &task) ||
           write_register(e, UC_X86_REG_LDTR, &local);
}

uint64_t pv_get_rflags(pv_vcpu *v)
{
    uint64_t rflags = 0;
    read_register((struct engine *)v, UC_X86_REG_RFLAGS, &rflags);
    return rflags;
}

int pv_set_rflags(pv_vcpu *v, uint64_t rflags)
{
    if (v->remedy == PV_REMEDY_REGISTERS)
        rflags |= REAL_KERNEL_IOPL; /* so that CLI, STI and POPF of the kernel, in ring 1, run */
    return write_register((struct engine *)v, UC_X86_REG_RFLAGS, &rflags);
}

int pv_get_vector(pv_vcpu *v, int index, uint64_t halves[2])
{
    return read_register((struct engine *)v, UC_X86_REG_XMM0 + index, halves);
}

int pv_set_vector(pv_vcpu *v, int index, const uint64_t halves[2])
{
    return write_register((struct engine *)v, UC_X86_REG_XMM0 + index, halves);
}

/*
 * OSFXSR, OSXMMEXCPT and OSXSAVE are the guest's, the rest is ours. While CR0.TS is set, OSXSAVE is off in reality:
 * XSAVE and its kin are #NM then, which the engine does not check, and so they trap, as #UD.
 */
static int follow_cr4(struct engine *e)
{
    const uint64_t guests = 0x600u | CR4_OSXSAVE;
    uint64_t cr4 = (REAL_CR4 & ~guests) | (e->guest_cr4 & guests);
    if (e->guest_cr0 & CR0_TS)
        cr4 &= ~(uint64_t)CR4_OSXSAVE;
    return write_register(e, UC_X86_REG_CR4, &cr4);
}

int pv_set_cr4(pv_vcpu *v, uint64_t guest_bits)
{
    struct engine *e = (struct engine *)v;
    e->guest_cr4 = guest_bits;
    return follow_cr4(e);
}

/* MP, EM, TS, NE and AM are the guest's (they govern its FPU), the rest is ours. */
int pv_set_cr0(pv_vcpu *v, uint64_t guest_bits)
{
    struct engine *e = (struct engine *)v;
    const uint64_t guests = 0x4002eu;
    uint64_t cr0 = (REAL_CR0 & ~guests) | (guest_bits & guests), changed = e->guest_cr0 ^ guest_bits;
    e->guest_cr0 = guest_bits;
    int error = write_register(e, UC_X86_REG_CR0, &cr0);
    return error || !(changed & CR0_TS) || !(e->guest_cr4 & CR4_OSXSAVE) ? error : follow_cr4(e);
}

uint64_t pv_get_cr4(pv_vcpu *v)
{
    uint64_t cr4 = 0;
    read_register((struct engine *)v, UC_X86_REG_CR4, &cr4);
    return cr4;
}

/*
 * Unicorn has no name for XCR0, but its library exports QEMU's own XSETBV and XGETBV, which work on the live state.
 * The first checks CR4.OSXSAVE and what the model has, and leaves by longjmp if it is not content: so neither may fail.
 */
int pv_set_xcr0(pv_vcpu *v, uint64_t xcr0)
{
    struct engine *e = (struct engine *)v;
    void (*set)(void *state, uint32_t index, uint64_t value);
    uint64_t (*get)(void *state, uint32_t index);
    void *set_symbol = unicorn_symbol("helper_xsetbv_x86_64"), *get_symbol = unicorn_symbol("helper_xgetbv_x86_64");
    uint64_t cr4 = pv_get_cr4(v), with_xsave = cr4 | CR4_OSXSAVE;
    if (!set_symbol || !get_symbol || v->repair != PV_REPAIR_STATE || (e->model && e->model < UC_CPU_X86_SANDYBRIDGE) ||
        (xcr0 != XCR0_X87 && xcr0 != (XCR0_X87 | XCR0_SSE)))
        return -1;
    memcpy(&set, &set_symbol, sizeof set);
    memcpy(&get, &get_symbol, sizeof get);
    if (write_register(e, UC_X86_REG_CR4, &with_xsave))
        return -1;
    set(e->state, 0, xcr0);
    bool is_set = get(e->state, 0) == xcr0;
    return write_register(e, UC_X86_REG_CR4, &cr4) || !is_set ? -1 : 0;
}

uint32_t pv_nmi_blocked(pv_vcpu *v)
{
    struct engine *e = (struct engine *)v;
    return e->lane ? lane_nmi_blocked(e) : v->nmi_blocked;
}

uint32_t pv_nmi_due(pv_vcpu *v)
{
    return nmi_due((struct engine *)v);
}

/* An address may hold other code from now on: counts of blocks are learnt anew. */
void pv_new_epoch(pv_vcpu *v)
{
    new_epoch((struct engine *)v);
    forget_known((struct engine *)v);
}

int pv_flush_tlb(pv_vcpu *v)
{
    return unicorn.ctl(((struct engine *)v)->uc, UC_CTL_WRITE(UC_CTL_TLB_FLUSH, 0));
}

/*
 * Forgets what was translated from one frame. `gva` must be mapped to it, present and executable, in the
 * current tables; the hole has a window for that. Unicorn finds the frame through its TLB (2.1.4:
 * uc_ctl_remove_cache), so the TLB is flushed first.
 */
int pv_forget_code(pv_vcpu *v, uint64_t gva)
{
    struct engine *e = (struct engine *)v;
    new_epoch(e);
    pv_flush_tlb(v);
    return unicorn.ctl(e->uc, UC_CTL_WRITE(UC_CTL_TB_REMOVE_CACHE, 2), gva, gva + PAGE_BYTES);
}
