/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What turns.c gives to the rooms that wake vCPUs and put them to sleep. */
#ifndef PV_PARA_TURNS_H
#define PV_PARA_TURNS_H
#include "para/native/cpu.h"
#include "para/native/events_state.h"
#include "para/native/turns_state.h"

/* NULL where a vCPU has none: then nothing here is served. */
static inline pv_runner *runner_of(const pv_vcpu *v)
{
    return v->device[PV_DEVICE_RUNNER];
}

static inline pv_event_table *events_of(const pv_vcpu *v)
{
    return v->device[PV_DEVICE_EVENTS];
}

bool may_wake(struct engine *e, const pv_runner *sleeper);
void wake(struct engine *e, pv_runner *sleeper);
bool may_sleep(struct engine *e);
bool put_to_sleep(struct engine *e);
#endif
