/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between state.c, selftest.c and engine.c: finding the CPU state of an engine. */
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

/* What the probe guest found out; filled once by pv_self_test. */
struct probed {
    enum pv_repair repair;
    struct state_layout at;
};
extern struct probed probed;
#endif
