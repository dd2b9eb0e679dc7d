/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ATA drive as far as both tiers work on it: the data port and the status. full/block.py makes it, and
 * block.c serves from it what has no other effect.
 */
#ifndef PV_BLOCK_STATE_H
#define PV_BLOCK_STATE_H
#include <stdint.h>

enum pv_ata_transfer {
    PV_ATA_IDLE = 0,
    PV_ATA_TO_HOST = 1,        /* the guest reads the block from the data port */
    PV_ATA_TO_DRIVE = 2        /* the guest writes it there */
};

typedef struct pv_ata {
    uint32_t transfer;         /* enum pv_ata_transfer; not IDLE: DRQ is set */
    uint32_t position;         /* in buffer: where the next word goes or comes from */
    uint32_t end;              /* of the DRQ block in buffer; position < end while DRQ is set */
    uint32_t status;           /* the status register of drive 0 */
    uint32_t is_absent_selected; /* DEV is 1, and there is no drive 1 */
    uint32_t interrupt_pending; /* reading the status acknowledges it */
    uint32_t interrupt_disabled; /* nIEN */
    uint8_t buffer[8192];      /* one DRQ block: at most 16 sectors */
} pv_ata;
#endif
