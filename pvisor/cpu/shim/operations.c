/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations: what one call of a guest function costs, seen from outside.
 *
 * A call target and a return address each begin a block, so the block hook sees both; a probed block is
 * simply never found in the table of counts. The guest runs no instruction more or less for it.
 */
#include "api.h"
#include "shim.h"

static int operation_at(const struct engine *e, uint64_t address)
{
    for (uint32_t i = 0; i < e->n_operations; i++)
        if (e->operations[i].address == address)
            return (int)i;
    return -1;
}

bool begins_or_ends_operation(struct engine *e, uint64_t address)
{
    for (uint32_t i = 0; i < e->n_open_operations; i++)
        if (e->open_operations[i].return_address == address)
            return true;
    return operation_at(e, address) >= 0;
}

static void close_returned(struct engine *e, uint64_t address, uint64_t rsp)
{
    while (e->n_open_operations) {
        const struct open_operation *open = &e->open_operations[e->n_open_operations - 1];
        bool returned = open->return_address == address && rsp == open->rsp + 8;
        if (!returned && rsp <= open->rsp)
            return; /* the call is still on the stack */
        pv_operation *operation = &e->operations[open->index];
        operation->calls++;
        operation->exits += e->v.exits_total - open->exits;
        operation->instructions += e->v.insns - open->insns;
        e->n_open_operations--;
    }
}

void follow_operation(struct engine *e, uint64_t address)
{
    uint64_t rsp = e->v.regs->gpr[RSP], return_address;
    close_returned(e, address, rsp);
    int index = operation_at(e, address);
    if (index < 0 || e->n_open_operations == N_OPEN_OPERATIONS)
        return;
    if (!in_64bit_code(e) || pv_copy_in(&e->v, rsp, &return_address, sizeof return_address))
        return;
    pv_operation *operation = &e->operations[index];
    if (!operation->was_called) {
        operation->was_called = 1;
        operation->exits_before = e->v.exits_total;
        operation->instructions_before = e->v.insns;
    }
    e->open_operations[e->n_open_operations++] =
        (struct open_operation){(uint32_t)index, return_address, rsp, e->v.exits_total, e->v.insns};
    /* The return address may have been counted before: make the hook look at it. */
    struct slot *slot = find_slot(e, return_address);
    slot->extent.bytes = 0;
}

int pv_operation_add(pv_vcpu *v, uint64_t address)
{
    struct engine *e = (struct engine *)v;
    if (e->n_operations == N_OPERATIONS)
        return -1;
    e->operations[e->n_operations] = (pv_operation){.address = address};
    return (int)e->n_operations++;
}

const pv_operation *pv_operation_get(pv_vcpu *v, uint32_t index)
{
    struct engine *e = (struct engine *)v;
    return index < e->n_operations ? &e->operations[index] : NULL;
}

/* The run is over: calls that never returned (pv_exit) count up to here. */
void pv_operations_finish(pv_vcpu *v)
{
    close_returned((struct engine *)v, 0, UINT64_MAX);
}
