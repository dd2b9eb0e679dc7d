/* SPDX-License-Identifier: MIT */
/*
 * The disk, in sectors of 512 bytes. Full: the ATA drive, by PIO. Para and hybrid: the block ring.
 *
 * Each function blocks until the disk has done it, and the first that is called until the disk has been found. Full:
 * the CPU polls the drive meanwhile. Para and hybrid: it sleeps (POLL), and other domains run. Interrupts are enabled
 * or disabled meanwhile as they were before. One call at a time: none from an interrupt handler.
 *
 * A buffer is ordinary memory of the kernel, at any address; N_SECTORS may be 0, which does nothing.
 */
#ifndef PV_BLOCK_H
#define PV_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#define PV_SECTOR_SIZE 512u

/* How many sectors the disk has; 0: there is no disk, or none that works. */
uint64_t pv_block_sectors(void);

/*
 * Read N_SECTORS from SECTOR on into BUFFER. Returns 0; -PV_ENODEV: there is no disk; -PV_ERANGE: not all of them are
 * on the disk, and nothing was done; -PV_EIO: the disk failed, and what BUFFER holds is undefined.
 */
int pv_block_read(uint64_t sector, size_t n_sectors, void *buffer);

/*
 * Write N_SECTORS from BUFFER to SECTOR on. They are safe after pv_block_flush. Returns as pv_block_read; a disk that
 * is read-only fails with -PV_EIO.
 */
int pv_block_write(uint64_t sector, size_t n_sectors, const void *buffer);

/*
 * Make sure that what was written is on the disk, whatever happens to this machine. Returns 0; -PV_ENODEV: there is no
 * disk; -PV_EIO: it failed, and what was written since the last flush may or may not be there.
 */
int pv_block_flush(void);

#endif /* PV_BLOCK_H */
