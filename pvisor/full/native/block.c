/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ATA drive's data port and status in C. REP INSW and OUTSW come here for each word; the last one of a
 * block, after which the drive acts, is for Python. The twins are in full/block.py.
 */
#include "cpu/shim/shim.h"
#include "full/native/block_state.h"

static pv_ata *drive(struct engine *e)
{
    return e->v.device[PV_DEVICE_BLOCK];
}

static bool is_inside_block(const pv_ata *a, const pv_exit *x, uint32_t transfer)
{
    return a && a->transfer == transfer && x->size_bytes != 1 && a->position + x->size_bytes < a->end;
}

static bool read_data(struct engine *e)
{
    pv_ata *a = drive(e);
    pv_exit *x = &e->v.exit;
    if (!is_inside_block(a, x, PV_ATA_TO_HOST))
        return false;
    memcpy(&x->value, a->buffer + a->position, x->size_bytes); /* value is 0 before; the host is little-endian */
    a->position += x->size_bytes;
    return true;
}

static bool write_data(struct engine *e)
{
    pv_ata *a = drive(e);
    const pv_exit *x = &e->v.exit;
    if (!is_inside_block(a, x, PV_ATA_TO_DRIVE))
        return false;
    memcpy(a->buffer + a->position, &x->value, x->size_bytes);
    a->position += x->size_bytes;
    return true;
}

/* Reading the status acknowledges the interrupt; where it moves the line, Python does it. */
static bool read_status(struct engine *e)
{
    pv_ata *a = drive(e);
    pv_exit *x = &e->v.exit;
    if (!a || x->size_bytes != 1 || a->is_absent_selected || (a->interrupt_pending && !a->interrupt_disabled))
        return false;
    a->interrupt_pending = 0;
    x->value = a->status;
    return true;
}

static bool read_alternate_status(struct engine *e)
{
    pv_ata *a = drive(e);
    pv_exit *x = &e->v.exit;
    if (!a || x->size_bytes != 1 || a->is_absent_selected)
        return false;
    x->value = a->status;
    return true;
}

const struct native full_block_natives[] = {
    {"ata_read_data", PV_EXIT_IO_IN, 0x1f0, 1, read_data},
    {"ata_write_data", PV_EXIT_IO_OUT, 0x1f0, 1, write_data},
    {"ata_read_status", PV_EXIT_IO_IN, 0x1f7, 1, read_status},
    {"ata_read_alternate_status", PV_EXIT_IO_IN, 0x3f6, 1, read_alternate_status},
};
const uint32_t n_full_block_natives = sizeof full_block_natives / sizeof full_block_natives[0];
