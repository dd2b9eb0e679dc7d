/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Places: how often each instruction of the guest was left, by its linear address and the reason. Only for who asks; a
 * table of fixed size, in which what comes too late is counted as elsewhere.
 */
#include "api.h"
#include "shim.h"

#include <stdlib.h>

enum { N_TRIES = 16 };

void count_place(struct engine *e)
{
    const pv_exit *x = &e->v.exit;
    uint64_t address = linear_of(e, x->rip);
    uint64_t at = (address ^ (uint64_t)x->reason << 40) * 0x9e3779b97f4a7c15ull >> 32;
    for (uint32_t i = 0; i < N_TRIES; i++, at++) {
        pv_place *place = &e->places[at & (PV_PLACES - 1)];
        if (!place->count) {
            place->address = address;
            place->reason = x->reason;
        } else if (place->address != address || place->reason != x->reason) {
            continue;
        }
        place->count++;
        return;
    }
    e->n_elsewhere++;
}

/* CLI and STI, too, take the way on which an exit has all its fields: that of exits that are timed. */
int pv_places_start(pv_vcpu *v)
{
    struct engine *e = (struct engine *)v;
    if (!e->places)
        e->places = calloc(PV_PLACES, sizeof *e->places);
    if (!e->places)
        return -1;
    v->time_exits = 1;
    return 0;
}

const pv_place *pv_places(pv_vcpu *v, uint64_t *n_elsewhere)
{
    struct engine *e = (struct engine *)v;
    *n_elsewhere = e->n_elsewhere;
    return e->places;
}
