/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between state.c, selftest.c, tlb.c and engine.c: what is found out about an engine's insides. */
#ifndef PV_SELFTEST_H
#define PV_SELFTEST_H
#include "shim.h"

uint8_t *find_live_state(uc_engine *uc);
uint8_t *find_cpu_object(uc_engine *uc, const uint8_t *state);
size_t state_bytes(struct engine *e);
bool attach_state(struct engine *e, enum pv_repair repair);
bool open_cpu(struct engine *e, enum pv_repair repair, void *ram, uint64_t ram_bytes);
bool open_engine(struct engine *e, enum pv_repair repair, void *ram, uint64_t ram_bytes, void *hv, uint64_t hv_bytes);
void close_engine(struct engine *e);

typedef void page_flush(void *cpu, uint64_t gva);

void probe_page_flush(struct engine *e, uint8_t *pages);

typedef void raise_error(void *state, int vector, int error_code);

void probe_raise(struct engine *e, uint8_t *pages);

/* What the probe guests found out; filled once by pv_self_test. */
struct probed {
    enum pv_repair repair;
    struct state_layout at;
    page_flush *flush_page;    /* NULL: there is none to rely on */
    uint32_t cpu_before_state; /* where its parameter is, in bytes */
    raise_error *raise;        /* likewise: raises an exception out of a hook (user_code.c) */
};
extern struct probed probed;

static inline bool can_raise(const struct engine *e)
{
    return probed.raise && e->v.repair == PV_REPAIR_STATE;
}
#endif
