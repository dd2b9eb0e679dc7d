/* SPDX-License-Identifier: MIT */
/*
 * The ATA drive on the primary channel, by PIO: the CPU itself carries each word through an I/O port. The status is
 * polled and the drive's interrupt kept off, for there is nothing else to do meanwhile; the drive is asked for several
 * sectors at a time (READ and WRITE MULTIPLE), since each block of them costs a look at the status.
 */
#include <stdbool.h>

#include <pv/block.h>
#include <pv/error.h>

#include "io.h"

#define DATA    0x1f0
#define COUNT   0x1f2
#define LBA_0   0x1f3
#define LBA_1   0x1f4
#define LBA_2   0x1f5
#define DEVICE  0x1f6
#define COMMAND 0x1f7
#define STATUS  0x1f7
#define CONTROL 0x3f6

#define STATUS_ERROR   0x01
#define STATUS_REQUEST 0x08 /* the drive wants to give or take a block */
#define STATUS_FAULT   0x20
#define STATUS_READY   0x40
#define STATUS_BUSY    0x80
#define NO_DRIVE       0xff /* what an I/O port reads as that nobody answers */

#define DEVICE_LBA   0x40
#define NO_INTERRUPT 0x02

#define READ_MULTIPLE      0xc4
#define READ_MULTIPLE_EXT  0x29
#define WRITE_MULTIPLE     0xc5
#define WRITE_MULTIPLE_EXT 0x39
#define SET_MULTIPLE       0xc6
#define FLUSH              0xe7
#define IDENTIFY           0xec

/* Words of IDENTIFY. */
#define ID_MULTIPLE 47 /* low byte: the most sectors of a block */
#define ID_SECTORS  60 /* two words */
#define ID_COMMANDS 83 /* bit 10: addresses of 48 bits */
#define ID_SECTORS_48 100

#define SHORT_END     (1u << 28) /* sectors that the short commands reach */
#define MAX_SECTORS   256u       /* of one command; written as 0 */
#define SECTOR_WORDS  (PV_SECTOR_SIZE / 2)
#define MAX_POLLS     50000000u  /* some seconds on any machine */

static bool is_looked_for;
static uint64_t n_disk;
static unsigned n_block = 1; /* sectors of a block */

/* The status when the drive has finished thinking, or its failure. */
static int wait(uint8_t wanted)
{
    for (uint32_t i = 0; i < MAX_POLLS; i++) {
        uint8_t status = in8(STATUS);
        if (status & STATUS_BUSY)
            continue;
        if (status & (STATUS_ERROR | STATUS_FAULT))
            return -PV_EIO;
        if ((status & wanted) == wanted)
            return 0;
    }
    return -PV_EIO;
}

static int command(uint8_t which)
{
    out8(COMMAND, which);
    return wait(0);
}

static uint16_t identity[SECTOR_WORDS];

static void look_for_disk(void)
{
    is_looked_for = true;
    out8(DEVICE, DEVICE_LBA);
    uint8_t status = in8(STATUS);
    if (status == NO_DRIVE || status == 0)
        return;
    out8(CONTROL, NO_INTERRUPT);
    if (wait(STATUS_READY) != 0)
        return;
    out8(COMMAND, IDENTIFY);
    if (wait(STATUS_REQUEST) != 0) /* not a disk: a CD drive refuses */
        return;
    in16s(DATA, identity, SECTOR_WORDS);
    n_disk = identity[ID_SECTORS] | (uint32_t)identity[ID_SECTORS + 1] << 16;
    if (identity[ID_COMMANDS] & 1u << 10) {
        n_disk = 0;
        for (int i = 3; i >= 0; i--)
            n_disk = n_disk << 16 | identity[ID_SECTORS_48 + i];
    }
    n_block = identity[ID_MULTIPLE] & 0xff;
    out8(COUNT, (uint8_t)n_block);
    if (n_block == 0 || command(SET_MULTIPLE) != 0)
        n_disk = 0; /* every drive that is not a museum's has READ MULTIPLE */
}

uint64_t pv_block_sectors(void)
{
    if (!is_looked_for)
        look_for_disk();
    return n_disk;
}

static int check(uint64_t sector, size_t n_sectors)
{
    uint64_t n = pv_block_sectors();
    if (n == 0)
        return -PV_ENODEV;
    return sector > n || n_sectors > n - sector ? -PV_ERANGE : 0;
}

/* Begin a command on N sectors, at most MAX_SECTORS. */
static void begin(uint64_t sector, unsigned n, uint8_t short_command, uint8_t long_command)
{
    bool is_short = sector + n <= SHORT_END;
    if (!is_short) { /* the high bytes go first into the same registers */
        out8(COUNT, (uint8_t)(n >> 8));
        out8(LBA_0, (uint8_t)(sector >> 24));
        out8(LBA_1, (uint8_t)(sector >> 32));
        out8(LBA_2, (uint8_t)(sector >> 40));
    }
    out8(COUNT, (uint8_t)n);
    out8(LBA_0, (uint8_t)sector);
    out8(LBA_1, (uint8_t)(sector >> 8));
    out8(LBA_2, (uint8_t)(sector >> 16));
    out8(DEVICE, (uint8_t)(DEVICE_LBA | (is_short ? sector >> 24 & 15 : 0)));
    out8(COMMAND, is_short ? short_command : long_command);
}

static unsigned lesser(size_t a, unsigned b)
{
    return a < b ? (unsigned)a : b;
}

int pv_block_read(uint64_t sector, size_t n_sectors, void *buffer)
{
    int error = check(sector, n_sectors);
    uint8_t *at = buffer;
    while (n_sectors > 0 && error == 0) {
        unsigned n = lesser(n_sectors, MAX_SECTORS);
        begin(sector, n, READ_MULTIPLE, READ_MULTIPLE_EXT);
        for (unsigned left = n; left > 0 && error == 0;) {
            unsigned n_now = lesser(left, n_block);
            error = wait(STATUS_REQUEST);
            if (error == 0)
                in16s(DATA, at, n_now * SECTOR_WORDS);
            at += n_now * PV_SECTOR_SIZE;
            left -= n_now;
        }
        sector += n;
        n_sectors -= n;
    }
    return error;
}

int pv_block_write(uint64_t sector, size_t n_sectors, const void *buffer)
{
    int error = check(sector, n_sectors);
    const uint8_t *at = buffer;
    while (n_sectors > 0 && error == 0) {
        unsigned n = lesser(n_sectors, MAX_SECTORS);
        begin(sector, n, WRITE_MULTIPLE, WRITE_MULTIPLE_EXT);
        for (unsigned left = n; left > 0 && error == 0;) {
            unsigned n_now = lesser(left, n_block);
            error = wait(STATUS_REQUEST);
            if (error == 0)
                out16s(DATA, at, n_now * SECTOR_WORDS);
            at += n_now * PV_SECTOR_SIZE;
            left -= n_now;
        }
        if (error == 0)
            error = wait(0); /* the last block is taken, or not */
        sector += n;
        n_sectors -= n;
    }
    return error;
}

int pv_block_flush(void)
{
    return pv_block_sectors() == 0 ? -PV_ENODEV : command(FLUSH);
}
