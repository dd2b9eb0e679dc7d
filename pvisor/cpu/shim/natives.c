/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The dispatch table of native handlers: what the wings offer (full/native, para/native), switched on one by one. */
#include "api.h"
#include "shim.h"

static const struct native *natives_of(const char *wing, uint32_t *n)
{
    bool full = !strcmp(wing, "full");
    *n = full ? n_full_natives : n_para_natives;
    return full ? full_natives : para_natives;
}

uint32_t pv_native_count(const char *wing)
{
    uint32_t n;
    natives_of(wing, &n);
    return n;
}

const char *pv_native_name(const char *wing, uint32_t index)
{
    uint32_t n;
    const struct native *natives = natives_of(wing, &n);
    return index < n ? natives[index].name : NULL;
}

void pv_native_enable(pv_vcpu *v, const char *wing, uint32_t index)
{
    struct engine *e = (struct engine *)v;
    uint32_t n;
    const struct native *native = natives_of(wing, &n);
    if (index >= n)
        return;
    native += index;
    if (native->reason == PV_EXIT_HYPERCALL)
        e->native_hypercall[native->number] = native->handler;
    else
        e->native[native->reason] = native->handler;
}
