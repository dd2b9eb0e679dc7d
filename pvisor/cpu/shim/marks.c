/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Marks: the run stops, by a kick, before the first block in a range of addresses, or the first one of user code.
 *
 * A block that has not run yet is never found in the table of counts, whose key holds its address and its ring, so a mark
 * costs nothing where blocks are known. One that is set when code of its range has run may be missed. A kick is no exit:
 * the guest, its time and its trace are those of a run without marks.
 */
#include "api.h"
#include "shim.h"

void meet_marks(struct engine *e, uint64_t address)
{
    for (uint32_t i = 0; i < N_MARKS; i++) {
        const struct mark *mark = &e->marks[i];
        if (!(e->marks_set >> i & 1) || address < mark->low || address > mark->high)
            continue;
        if (mark->user_only && !in_user_code(e))
            continue;
        e->marks_set &= ~(1u << i);
        e->marks_met |= 1u << i;
        __atomic_store_n(&e->v.kick, 1, __ATOMIC_SEQ_CST);
        e->v.limit = 0;
    }
}

int pv_mark(pv_vcpu *v, uint64_t low, uint64_t high, int user_only)
{
    struct engine *e = (struct engine *)v;
    for (uint32_t i = 0; i < N_MARKS; i++) {
        if ((e->marks_set | e->marks_met) >> i & 1)
            continue;
        e->marks[i] = (struct mark){low, high, user_only != 0};
        e->marks_set |= 1u << i;
        return (int)i;
    }
    return -1;
}

uint32_t pv_marks_met(pv_vcpu *v)
{
    struct engine *e = (struct engine *)v;
    uint32_t met = e->marks_met;
    e->marks_met = 0;
    return met;
}
