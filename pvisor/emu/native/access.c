/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices: I/O ports, whose rights Unicorn does not check, and devices' memory, at which it does not tell the
 * instruction.
 */
#include "cpu/shim/api.h"
#include "emu.h"

enum { VECTOR_UD = 6, VECTOR_GP = 13, IOPL_SHIFT = 12, MAP_BASE_AT = 0x66 };

/* SDM 1 19.5.2: beyond IOPL the TSS's map must have a clear bit for each I/O port. A 64-bit TSS has one, too. */
static bool map_allows(struct engine *e, uint32_t ioport, uint32_t size)
{
    uint64_t base = *state64(e, internals.at.tr + 8);
    uint32_t limit = *state32(e, internals.at.tr + 16), flags = *state32(e, internals.at.tr + 20);
    uint8_t bytes[2];
    if (!(flags & 1 << 15) || (flags >> 8 & 0xf) < 9 || limit < MAP_BASE_AT + 1)
        return false;
    if (fetch(e, base + MAP_BASE_AT, bytes, 2) != 2)
        return false;
    uint32_t at = (uint32_t)(bytes[0] | bytes[1] << 8) + (ioport >> 3);
    if (at + 1 > limit || fetch(e, base + at, bytes, 2) != 2)
        return false;
    uint32_t wanted = ((1u << size) - 1) << (ioport & 7);
    return !((uint32_t)(bytes[0] | bytes[1] << 8) & wanted);
}

static bool ioport_allowed(struct engine *e, uint32_t ioport, int size)
{
    uint32_t flags = *state32(e, e->at.eflags), cpl = current_hflags(e) & HF_CPL;
    bool by_level = cpl <= (flags >> IOPL_SHIFT & 3) && !(flags & FLAG_VM);
    return likely(by_level) || !(lane_cr0(e) & 1) || map_allows(e, ioport & 0xffff, (uint32_t)size);
}

/* Out of a hook, which is left by a jump. */
void lane_raise(struct engine *e, uint32_t vector)
{
    internals.raise(e->state, (int)vector, 0);
}

/* From a hook of the instruction. It does not come back where the I/O port is not allowed. */
void check_ioport(struct engine *e, uint32_t ioport, int size)
{
    if (unlikely(!ioport_allowed(e, ioport, size)) && !e->stopping)
        internals.raise(e->state, VECTOR_GP, 0);
}

uint32_t lane_on_in(uc_engine *uc, uint32_t ioport, int size, void *user)
{
    check_ioport(user, ioport, size);
    return on_in(uc, ioport, size, user);
}

void lane_on_out(uc_engine *uc, uint32_t ioport, int size, uint32_t value, void *user)
{
    check_ioport(user, ioport, size);
    on_out(uc, ioport, size, value, user);
}

/*
 * The engine keeps the host address of the access, and can compute the guest's state from it. An access that no
 * instruction makes (of the page walker, say) has none: the field is emptied after each use.
 */
static void restore_place(struct engine *e)
{
    if (unlikely(!internals.at.mem_io_pc))
        return; /* the probe is just looking for it */
    uintptr_t *host_pc = (uintptr_t *)(e->lane->cpu + internals.at.mem_io_pc);
    if (*host_pc)
        internals.restore_state(e->lane->cpu, *host_pc, false);
    *host_pc = 0;
}

static void serve_mmio(const struct lane_mmio *range, uint64_t offset, unsigned size, uint64_t value, bool is_write)
{
    struct engine *e = range->e;
    pv_exit *x = &e->v.exit;
    restore_place(e);
    x->address = range->base + offset;
    x->size_bytes = size;
    x->value = value;
    x->is_write = is_write;
    serve_in_hook(e, PV_EXIT_MMIO);
}

uint64_t lane_mmio_read(uc_engine *uc, uint64_t offset, unsigned size, void *user)
{
    (void)uc;
    const struct lane_mmio *range = user;
    if (unlikely(range->e->stopping))
        return 0;
    serve_mmio(range, offset, size, 0, false);
    return range->e->v.exit.value;
}

void lane_mmio_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t value, void *user)
{
    (void)uc;
    const struct lane_mmio *range = user;
    if (likely(!range->e->stopping))
        serve_mmio(range, offset, size, value, true);
}

/*
 * Code where there is no RAM: the engine would not run it. A PC reads all ones there, which is #UD (FF FF is no
 * instruction), and a page fault of a fetch leaves from this very place as well.
 */
bool lane_on_device_fetch(uc_engine *uc, uc_mem_type type, uint64_t address, int size, int64_t value, void *user)
{
    (void)uc, (void)type, (void)address, (void)size, (void)value;
    struct engine *e = user;
    if (!e->stopping)
        internals.raise(e->state, VECTOR_UD, 0);
    return false;
}
