/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions that x86 lets a deprivileged kernel run although they show or change privileged state, so that
 * trap-and-emulate alone is wrong on it (Popek and Goldberg 1974; for x86: Robin and Irvine 2000).
 *
 * A block that is about to run for the first time is looked through; each sensitive instruction's first byte
 * is replaced by HLT, which traps at any ring but 0. A patch belongs to the frame: it holds under every alias,
 * and is undone before the frame can be written to (shadow_frames.c). What stands here for each:
 *
 *   PUSHF POPF              IF, IOPL are virtual; POPF drops a change of IF silently
 *   SGDT SMSW               the real GDTR has limit 0; the real CR0 pages and write-protects
 *   SIDT SLDT STR           the real registers are not the guest's
 *   LAR LSL VERR VERW       they look into the real GDT
 *   IN OUT INS OUTS         of user code: the engine does not check IOPL; of all, with a breakpoint on an I/O port
 *   IRET                    of user code only: the engine would enter virtual-8086 mode, as if from ring 0
 *   RDTSC RDTSCP            of user code only, while the guest's CR4.TSD is set
 *
 * With PV_REMEDY_REGISTERS, PUSHF, POPF, SIDT, SLDT and STR run, because the real registers hold the guest's values
 * (and CLI and STI do, with an IOPL of 1, which PUSHF shows); the others are replaced all the same.
 *
 * MOV and PUSH of segment registers are no problem here: the visible selectors are the guest's own. LOCK makes
 * each of these #UD; the engine runs them all the same, so they are replaced, too, and the trap tells (classify.c).
 * cpu/sensitive.py has the same list in words, and a test compares.
 */
#include "shadow.h"
#include "api.h"

#include <stdlib.h>

enum { TRAPPING = 0xf4 }; /* HLT */

/* Which instructions are sensitive depends on who runs them, and on what the real registers show. */
struct view {
    bool mode64, user, rdtsc, registers_show, iret; /* iret: the engine's hole, not in the list of what is sensitive */
};

static bool is_sensitive_0f(const uint8_t *op, const struct view *view)
{
    uint8_t reg = (op[1] >> 3) & 7;
    switch (op[0]) {
    case 0x00: return reg == 4 || reg == 5 || (reg <= 1 && !view->registers_show); /* VERR VERW; SLDT STR */
    case 0x01:
        if (op[1] == 0xf9)
            return view->rdtsc;                                                    /* RDTSCP */
        if (reg == 1 && view->registers_show)
            return false;                                                          /* SIDT */
        return reg == 4 || (reg <= 1 && op[1] < 0xc0);                             /* SMSW; SGDT SIDT */
    case 0x02: case 0x03: return true;                                             /* LAR LSL */
    case 0x31: return view->rdtsc;                                                 /* RDTSC */
    default: return false;
    }
}

/* `insn`: a whole instruction of n_bytes, with at least two readable bytes behind it. */
static bool is_sensitive(const uint8_t *insn, uint32_t n_bytes, const struct view *view)
{
    const uint8_t *end = insn + n_bytes;
    while (insn < end && is_prefix(*insn, view->mode64))
        insn++;
    if (insn == end)
        return false;
    switch (*insn) {
    case 0x9c: case 0x9d: return !view->registers_show;
    case 0xcf: return view->iret;
    case 0x0f: return is_sensitive_0f(insn + 1, view);
    case 0x6c: case 0x6d: case 0x6e: case 0x6f:
    case 0xe4: case 0xe5: case 0xe6: case 0xe7: case 0xec: case 0xed: case 0xee: case 0xef:
        return view->user;
    default: return false;
    }
}

bool pv_is_sensitive(const void *insn, uint32_t n_bytes, bool mode64, bool user)
{
    uint8_t padded[32] = {0};
    if (n_bytes > 15)
        return false;
    memcpy(padded, insn, n_bytes);
    const struct view view = {mode64, user, .rdtsc = user};
    return is_sensitive(padded, n_bytes, &view);
}

/* Is there a byte with which a sensitive instruction could begin, prefixes apart? Most blocks have none. */
static bool is_suspicious(const uint8_t *code, uint32_t n, bool user)
{
    for (uint32_t i = 0; i < n; i++) {
        uint8_t byte = code[i];
        if (byte == 0x9c || byte == 0x9d || (byte == 0x0f && (code[i + 1] <= 3 || code[i + 1] == 0x31)))
            return true;
        if (user && ((byte & 0xfc) == 0x6c || (byte & 0xf4) == 0xe4 || byte == 0xcf))
            return true;
    }
    return false;
}

/* A patch: the byte there, which is, or was, the first of an instruction, becomes HLT. */
bool replace_byte(struct engine *e, uint64_t physical, uint8_t original)
{
    struct shadow *s = e->shadow;
    uint32_t frame = (uint32_t)(physical / PAGE_BYTES);
    if (!s->originals[frame] && !(s->originals[frame] = calloc(1, PAGE_BYTES)))
        return false;
    uint8_t *at = &s->originals[frame][physical & (PAGE_BYTES - 1)];
    if (!*at) /* else a store into a mixed page has replaced the patch */
        e->n_patches++;
    *at = original;
    s->flags[frame] |= FRAME_PATCHED;
    e->ram[physical] = TRAPPING;
    e->n_patches_ever++;
    return true;
}

static bool patch(struct engine *e, uint64_t linear)
{
    uint64_t physical, rights;
    if (!walk(e, linear, &physical, &rights) || physical >= e->ram_bytes ||
        !replace_byte(e, physical, e->ram[physical]))
        return false;
    remember_around(e, linear);
    return true;
}

/* True: something was replaced, so the block must be translated anew. */
bool patch_block(struct engine *e, uint64_t address, uint32_t size)
{
    uint8_t code[4096 + 32] = {0};
    bool mode64 = in_64bit_code(e), user = in_user_code(e), patched = false;
    struct view view = {mode64, user || e->v.io_traps, user && e->v.user_rdtsc_traps, e->v.remedy == PV_REMEDY_REGISTERS,
                        user};
    if (!e->shadow || size > 4096)
        return false;
    uint32_t n = fetch(e, address, code, size);
    if (!is_suspicious(code, n, view.user))
        return false;
    uint32_t width = mode64 ? 2 : current_hflags(e) & HF_CS32 ? 1 : 0;
    for (uint32_t at = 0; at < n;) {
        uint32_t length = instruction_length(code + at, n - at, width);
        if (!length)
            break;
        if (is_sensitive(code + at, length, &view))
            patched |= patch(e, address + at);
        at += length;
    }
    if (patched)
        unicorn.ctl(e->uc, UC_CTL_WRITE(UC_CTL_TB_REMOVE_CACHE, 2), address, address + size);
    return patched;
}

/* The frame is about to be written to: it gets its own bytes back. */
void undo_patches(struct engine *e, uint32_t frame)
{
    struct shadow *s = e->shadow;
    uint8_t *originals = s->originals[frame], *page = e->ram + frame * PAGE_BYTES;
    s->flags[frame] &= (uint8_t)~FRAME_PATCHED;
    for (uint32_t i = 0; i < PAGE_BYTES; i++) {
        if (!originals[i])
            continue;
        if (page[i] == TRAPPING)
            page[i] = originals[i];
        e->n_patches--;
    }
    free(originals);
    s->originals[frame] = NULL;
}

/* Stores into the frame while it was mixed may have replaced patches: those are no more. */
void drop_overwritten_patches(struct engine *e, uint32_t frame)
{
    uint8_t *originals = e->shadow->originals[frame];
    const uint8_t *page = e->ram + frame * PAGE_BYTES;
    for (uint32_t i = 0; originals && i < PAGE_BYTES; i++)
        if (originals[i] && page[i] != TRAPPING) {
            originals[i] = 0;
            e->n_patches--;
        }
}

/* The first byte of the instruction at which an HLT has trapped. `host`: where it is, or NULL. */
uint8_t original_byte(struct engine *e, uint64_t linear, const uint8_t *host)
{
    uint64_t physical = (uint64_t)(host - e->ram), rights;
    if (!e->shadow || (!host && !walk(e, linear, &physical, &rights)) || physical >= e->ram_bytes)
        return TRAPPING;
    const uint8_t *originals = e->shadow->originals[physical / PAGE_BYTES];
    uint8_t original = originals ? originals[physical & (PAGE_BYTES - 1)] : 0;
    if (!original)
        original = original_of_copy(e, linear);
    return original ? original : TRAPPING;
}

uint64_t pv_patches(pv_vcpu *v, uint64_t *n_ever)
{
    struct engine *e = (struct engine *)v;
    *n_ever = e->n_patches_ever;
    return e->n_patches;
}

void pv_show_code(pv_vcpu *v, uint64_t rip)
{
    struct engine *e = (struct engine *)v;
    uint64_t physical, rights;
    if (!e->shadow || !walk(e, linear_of(e, rip), &physical, &rights) || physical >= e->ram_bytes)
        return;
    const uint8_t *originals = e->shadow->originals[physical / PAGE_BYTES];
    if (originals && originals[physical & (PAGE_BYTES - 1)])
        forget_frame(e, (uint32_t)(physical / PAGE_BYTES));
}

/* Puts the guest's own bytes over those of patches, in a copy of guest-physical memory. */
void pv_original_code(pv_vcpu *v, uint64_t gpa, void *bytes, uint32_t n_bytes)
{
    struct engine *e = (struct engine *)v;
    for (uint32_t i = 0; e->n_patches && i < n_bytes && gpa + i < e->ram_bytes; i++) {
        const uint8_t *originals = e->shadow->originals[(gpa + i) / PAGE_BYTES];
        uint8_t original = originals ? originals[(gpa + i) & (PAGE_BYTES - 1)] : 0;
        if (original && ((uint8_t *)bytes)[i] == TRAPPING)
            ((uint8_t *)bytes)[i] = original;
    }
}
