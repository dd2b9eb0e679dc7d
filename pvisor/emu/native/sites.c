/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions that need a look before the engine runs them, for which Unicorn has no hook:
 *   RDMSR, WRMSR and MOV CR8, where the engine lacks what they are about: the local APIC (IA32_APIC_BASE, the task
 *   priority) and virtual time (the TSC's registers). All other registers are left to the engine.
 *   MOV CR3 while CR4.PCIDE is set, where PCIDs are offered: the engine takes bit 63, which says that nothing shall be
 *   flushed, for a part of the address.
 *   INS and OUTS outside ring 0: when their intercept hears of them, they have stored a zero, or read, already, and
 *   the I/O port may not be allowed.
 * So the block hook looks through each block that it does not know, and puts a hook on the very address of such an
 * instruction; nothing of the guest's code changes.
 */
#include "cpu/shim/api.h"
#include "emu.h"

enum { VECTOR_GP = 13, MAX_BLOCK = 4096 };
#define CR3_KEEPS (1ull << 63)
enum { CR4_PCIDE = 1 << 17, PHYSICAL_BITS = 40 };
enum { MSR_TSC = 0x10, MSR_APIC_BASE = 0x1b, MSR_TSC_ADJUST = 0x3b };

struct found {
    uint32_t reason, n_bytes;  /* an exit's reason; INS and OUTS: IO_IN, IO_OUT */
    int size;                  /* INS and OUTS: of the I/O port */
    uint32_t number, gpr;      /* MOV CRn: which, and the other register */
    bool is_write;
};

static uint32_t width_of(struct engine *e)
{
    return in_64bit_code(e) ? 2 : current_hflags(e) & HF_CS32 ? 1 : 0;
}

/* What the instruction at `code` is; reason 0 for all others. Behind prefixes only: 0F 20 may be part of an operand. */
static struct found look_at(const uint8_t *code, uint32_t n, uint32_t width)
{
    struct found found = {.n_bytes = n};
    uint32_t at = 0, rex = 0;
    bool has_66 = false;
    for (; at < n && is_prefix(code[at], width == 2); at++) {
        rex = width == 2 && (code[at] & 0xf0) == 0x40 ? code[at] : 0;
        has_66 |= code[at] == 0x66;
    }
    if (at < n && (code[at] & 0xfc) == 0x6c) {
        found.reason = code[at] & 2 ? PV_EXIT_IO_OUT : PV_EXIT_IO_IN;
        found.size = !(code[at] & 1) ? 1 : (width == 0) == has_66 ? 4 : 2;
    }
    if (at + 1 >= n || code[at] != 0x0f)
        return found;
    uint8_t opcode = code[at + 1];
    if (opcode == 0x32 || opcode == 0x30) {
        found.reason = opcode == 0x32 ? PV_EXIT_RDMSR : PV_EXIT_WRMSR;
    } else if ((opcode & ~2) == 0x20 && at + 2 < n) {
        uint8_t modrm = code[at + 2];
        uint32_t number = (modrm >> 3 & 7) | (rex & 4 ? 8 : 0);
        found.is_write = opcode == 0x22;
        if (number == 8 || (number == 3 && found.is_write))
            found.reason = PV_EXIT_MOV_CR;
        found.number = number;
        found.gpr = (modrm & 7) | (rex & 1 ? 8 : 0);
    }
    return found;
}

static bool is_string_io(const struct found *found)
{
    return found->size != 0;
}

static bool is_ours(struct engine *e, const struct found *found)
{
    uint32_t msr = (uint32_t)e->v.regs->gpr[RCX];
    if (found->reason == PV_EXIT_MOV_CR)
        return found->number == 8;
    return found->reason && (msr == MSR_TSC || msr == MSR_APIC_BASE || msr == MSR_TSC_ADJUST);
}

/* MOV CR3 with bit 63: a load without it, since flushing more than is asked for is always right. */
static void load_cr3(struct engine *e, uint64_t address, const struct found *found)
{
    uint64_t root = e->v.regs->gpr[found->gpr] & ~CR3_KEEPS, rip = e->v.regs->rip + found->n_bytes;
    uncredit_from(e, address);
    if (root >> PHYSICAL_BITS)
        internals.raise(e->state, VECTOR_GP, 0);
    unicorn.reg_write(e->uc, UC_X86_REG_CR3, &root);
    e->v.insns++;
    unicorn.reg_write(e->uc, UC_X86_REG_RIP, &rip);
}

/* Before the instruction at one of the addresses; the code there may be another now. */
static void on_site(uc_engine *uc, uint64_t address, uint32_t size, void *user)
{
    (void)size;
    struct engine *e = user;
    uint8_t code[16];
    clear_copy_of_flags(e);
    if (e->stopping)
        return;
    uint32_t n = fetch(e, address, code, sizeof code);
    struct found found = look_at(code, instruction_length(code, n, width_of(e)), width_of(e));
    if (is_string_io(&found))
        check_ioport(e, (uint32_t)e->v.regs->gpr[RDX], found.size);
    if (current_hflags(e) & HF_CPL)
        return; /* the engine raises #GP */
    if (found.number == 3 && found.is_write && lane_cr4(e) & CR4_PCIDE && e->v.regs->gpr[found.gpr] & CR3_KEEPS) {
        load_cr3(e, address, &found);
        return;
    }
    if (!is_ours(e, &found))
        return;
    uint64_t rip = e->v.regs->rip;
    e->v.exit.number = found.gpr;
    e->v.exit.is_write = found.is_write;
    serve_in_hook(e, found.reason);
    if (e->stopping)
        return;
    uncredit_from(e, address);
    if (e->v.exit.result)
        internals.raise(e->state, VECTOR_GP, 0);
    e->v.insns++;
    rip += found.n_bytes;
    unicorn.reg_write(uc, UC_X86_REG_RIP, &rip);
}

static bool is_known(const struct lane *lane, uint64_t address)
{
    for (uint32_t i = 0; i < lane->n_sites; i++)
        if (lane->sites[i] == address)
            return true;
    return false;
}

/*
 * Puts hooks into a block that has none yet. True: there is a new one, so the block must be translated anew. The
 * table is bounded; a guest with more such instructions finds the engine's registers at the last of them, and INS faults
 * behind its zero.
 */
bool hook_sites(struct engine *e, uint64_t address, uint32_t size)
{
    struct lane *lane = e->lane;
    uint8_t code[MAX_BLOCK];
    uint32_t n = fetch(e, address, code, size < MAX_BLOCK ? size : MAX_BLOCK), n_before = lane->n_sites;
    bool maybe = false, outside = current_hflags(e) & HF_CPL;
    for (uint32_t i = 0; i < n && !maybe; i++)
        maybe = outside ? (code[i] & 0xfc) == 0x6c
                        : i + 1 < n && code[i] == 0x0f && ((code[i + 1] & ~2) == 0x30 || (code[i + 1] & ~2) == 0x20);
    for (uint32_t at = 0, length; maybe && at < n; at += length) {
        length = instruction_length(code + at, n - at, width_of(e));
        if (!length)
            break;
        struct found found = look_at(code + at, length, width_of(e));
        bool is_pcid = found.number == 3 && !e->lane->offers_pcids;
        if (!found.reason || is_pcid || is_string_io(&found) != outside || is_known(lane, address + at) ||
            lane->n_sites == LANE_SITES || (outside && lane->n_io_sites == LANE_IO_SITES))
            continue;
        lane->n_io_sites += outside; /* fewer: user code does not use up the table */
        uc_hook hook;
        lane->sites[lane->n_sites++] = address + at;
        unicorn.hook_add(e->uc, &hook, UC_HOOK_CODE, (void *)on_site, e, address + at, address + at);
    }
    if (lane->n_sites == n_before)
        return false;
    unicorn.ctl(e->uc, UC_CTL_WRITE(UC_CTL_TB_REMOVE_CACHE, 2), address, address + size);
    return true;
}
