/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Direct paging in C: the calls that kernels make all the time. Their Python twins are in para/paging.py. */
#include "para/native/paging.h"
#include "api.h"

enum { LARGEST_UPDATE = PV_TABLE_UPDATE_MAX, MOST_WALKS = PV_TABLE_WALKS_MAX };

static bool answer(struct engine *e, int64_t result)
{
    e->v.exit.result = result;
    return true;
}

static bool is_u32(uint64_t value)
{
    return !(value >> 32);
}

/* Where the last-level entry of an address lies, as GPA / 8. */
static bool find_entry(const pv_paging *p, uint64_t root, uint64_t gva, uint64_t *at)
{
    uint64_t table = root;
    for (int shift = 39; shift > 12; shift -= 9) {
        uint64_t entry = p->ram[table / 8 + (gva >> shift & (ENTRIES - 1))];
        if (!(entry & ENTRY_P))
            return false;
        table = entry & ENTRY_FRAME;
    }
    *at = table / 8 + (gva >> 12 & (ENTRIES - 1));
    return true;
}

/* Of the guest's part of the address space. */
static bool is_own_address(uint64_t gva)
{
    uint64_t top = gva >> 47;
    return (top == 0 || top == 0x1ffff) && !(gva >= PV_HOLE_START && gva < PV_HOLE_END);
}

static void flush_page_of_all(pv_paging *p, uint64_t gva)
{
    for (uint32_t i = 0; i < p->n_vcpus; i++)
        pv_flush_page(p->vcpus[i], gva);
}

static bool entry_set(struct engine *e)
{
    const uint64_t *args = e->v.exit.args;
    uint64_t gva = args[0], entry = args[1], flags = args[2], at;
    pv_roots *roots = roots_of(e);
    if (!roots)
        return false;
    pv_paging *p = roots->paging;
    if (!is_own_address(gva) || flags > PV_FLUSH_ALL)
        return answer(e, -PV_EINVAL);
    if (!find_entry(p, roots->kernel, gva, &at))
        return answer(e, -PV_ENOENT);
    int error = replace_entry(p, at, entry);
    if (!error && flags == PV_FLUSH_PAGE)
        flush_page_of_all(p, gva);
    if (!error && flags == PV_FLUSH_ALL)
        p->pending |= PV_PENDING_FLUSH;
    settle(p);
    return answer(e, error);
}

static int update(pv_paging *p, const struct pv_entry_update *wanted)
{
    uint64_t frame = wanted->gpa / PAGE_BYTES, index = wanted->gpa / 8 % ENTRIES;
    if (wanted->gpa % 8 || frame >= p->n_ram_frames)
        return -PV_EINVAL;
    if (!is_table(p->type[frame]))
        return -PV_ENOENT;
    if (p->type[frame] == PV_FRAME_L4 && index >= HOLE_SLOT && index < HOLE_SLOTS_END)
        return -PV_EINVAL;
    return replace_entry(p, wanted->gpa / 8, wanted->entry);
}

static bool table_update(struct engine *e)
{
    const uint64_t *args = e->v.exit.args;
    struct pv_entry_update wanted[LARGEST_UPDATE];
    pv_roots *roots = roots_of(e);
    if (!roots)
        return false;
    pv_paging *p = roots->paging;
    if (!is_u32(args[1]) || (args[2] && args[2] != PV_FLUSH_ALL))
        return answer(e, -PV_EINVAL);
    uint32_t n = args[1] < LARGEST_UPDATE ? (uint32_t)args[1] : LARGEST_UPDATE, done = 0;
    if (pv_copy_in(&e->v, args[0], wanted, n * sizeof wanted[0]))
        return answer(e, -PV_EFAULT);
    uint32_t last_walk = p->n_walked + MOST_WALKS;
    int error = 0;
    while (done < n && (int32_t)(p->n_walked - last_walk) < 0 && !(error = update(p, &wanted[done])))
        done++;
    if (args[2] && (done || !error))
        p->pending |= PV_PENDING_FLUSH;
    settle(p);
    return answer(e, done || !error ? (int64_t)done : error);
}

static bool tlb_flush(struct engine *e)
{
    const uint64_t *args = e->v.exit.args;
    pv_roots *roots = roots_of(e);
    if (!roots)
        return false;
    if (args[0] == PV_FLUSH_ALL)
        flush_all(roots->paging);
    else if (args[0] == PV_FLUSH_PAGE)
        flush_page_of_all(roots->paging, args[1]);
    else
        return answer(e, -PV_EINVAL);
    return answer(e, 0);
}

static bool root_set(struct engine *e)
{
    const uint64_t *args = e->v.exit.args;
    uint64_t kernel = args[0], user = args[1] ? args[1] : args[0];
    pv_roots *roots = roots_of(e);
    if (!roots)
        return false;
    pv_paging *p = roots->paging;
    int error = take_table_at(p, kernel, PV_FRAME_L4);
    if (!error && (error = take_table_at(p, user, PV_FRAME_L4)))
        untake_table(p, kernel / PAGE_BYTES);
    if (!error) {
        drop_table(p, roots->kernel / PAGE_BYTES);
        drop_table(p, roots->user / PAGE_BYTES);
        roots->kernel = kernel;
        roots->user = user;
    }
    settle(p);
    if (!error)
        pv_set_root(&e->v, kernel);
    return answer(e, error);
}

/* The vCPU goes to user code, or comes back from it: CR3 is loaded where the two have different roots. */
void enter_user(struct engine *e)
{
    const pv_roots *roots = roots_of(e);
    if (roots && e->v.cr3 != roots->user)
        pv_set_root(&e->v, roots->user);
}

void enter_kernel(struct engine *e)
{
    const pv_roots *roots = roots_of(e);
    if (roots && e->v.cr3 != roots->kernel)
        pv_set_root(&e->v, roots->kernel);
}

const struct native para_paging_natives[] = {
    {"root_set", PV_EXIT_HYPERCALL, PV_HC_ROOT_SET, 0, root_set},
    {"entry_set", PV_EXIT_HYPERCALL, PV_HC_ENTRY_SET, 0, entry_set},
    {"table_update", PV_EXIT_HYPERCALL, PV_HC_TABLE_UPDATE, 0, table_update},
    {"tlb_flush", PV_EXIT_HYPERCALL, PV_HC_TLB_FLUSH, 0, tlb_flush},
};
const uint32_t n_para_paging_natives = sizeof para_paging_natives / sizeof para_paging_natives[0];
