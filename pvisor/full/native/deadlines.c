/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Deadlines that native handlers know: those of devices that have one of their own (machine/timers.py, OwnTimer).
 * They are set here, and acted upon when they are due, as long as nothing that only Python knows comes before.
 */
#include "full/native/clocks.h"
#include "full/native/controllers.h"

enum { MAX_LATE_NS = 10000 };
enum { N_OWN = sizeof((pv_deadlines){0}.own) / sizeof(pv_deadline) };

/* The earliest of them, by time and order. */
static uint32_t first_own(const pv_deadlines *list)
{
    uint32_t first = 0;
    for (uint32_t i = 1; i < N_OWN; i++) {
        const pv_deadline *one = &list->own[i], *other = &list->own[first];
        if (one->due_ns < other->due_ns || (one->due_ns == other->due_ns && one->order < other->order))
            first = i;
    }
    return first;
}

/* machine/timers.py has the same: SplitMix64 of seed and time (Steele, Lea, Flood: OOPSLA 2014). */
static uint64_t heard_ns(const pv_deadlines *list, uint64_t due_ns)
{
    if (likely(!list->seed) || due_ns > NEVER_NS - MAX_LATE_NS)
        return due_ns;
    uint64_t z = (list->seed ^ due_ns) + 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return due_ns + (z ^ z >> 31) % MAX_LATE_NS;
}

static void follow(struct engine *e, const pv_deadlines *list)
{
    uint64_t own_ns = list->own[first_own(list)].due_ns;
    uint64_t next_ns = heard_ns(list, own_ns < list->listed_ns ? own_ns : list->listed_ns);
    if (e->v.deadline_ns != next_ns) {
        e->v.deadline_ns = next_ns;
        refresh_limit(e);
    }
}

void set_own_deadline(struct engine *e, uint32_t index, uint64_t due_ns)
{
    pv_deadlines *list = deadlines_of(e);
    list->own[index].due_ns = due_ns;
    if (due_ns != NEVER_NS)
        list->own[index].order = ++list->n_made;
    follow(e, list);
}

/* What is due happens. False: some of it is Python's. */
static bool run_due(struct engine *e)
{
    pv_deadlines *list = deadlines_of(e);
    const pv_apic *apic = e->v.device[PV_DEVICE_APIC];
    const pv_pit *pit = e->v.device[PV_DEVICE_PIT];
    uint64_t now_ns = e->v.insns + e->v.idle_ns;
    if (!list || !apic || !pit)
        return false;
    for (;;) {
        uint32_t first = first_own(list);
        uint64_t due_ns = list->own[first].due_ns;
        if (list->listed_ns <= now_ns && list->listed_ns <= due_ns)
            return false; /* which of two at one time comes first, Python knows */
        if (due_ns > now_ns)
            break;
        if (first == apic->deadline ? !apic_timer_expire(e, now_ns) : first != pit->deadline || !pit_rise(e, now_ns))
            return false;
        list->n_acted++;
    }
    follow(e, list);
    return true;
}

/* For Python's list: the same, where this native handler is switched on. */
void pv_run_deadlines(pv_vcpu *v)
{
    struct engine *e = (struct engine *)v;
    if (e->native[PV_EXIT_DEADLINE])
        e->native[PV_EXIT_DEADLINE](e);
}

const struct native full_deadlines_natives[] = {
    {"deadline", PV_EXIT_DEADLINE, 0, 0, run_due},
};
const uint32_t n_full_deadlines_natives = sizeof full_deadlines_natives / sizeof full_deadlines_natives[0];
