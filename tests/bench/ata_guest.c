/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bare PC guest that reads 16 MiB of its disk by PIO, twice: by READ MULTIPLE and by READ SECTORS. It prints a
 * character before and after each, which the host takes the time of (ata.py), and at last a checksum.
 */
#include "pc.h"

enum { DATA_PORT = 0x1f0, COUNT = 0x1f2, LBA_LOW, LBA_MID, LBA_HIGH, DEVICE, COMMAND, STATUS = COMMAND, CONTROL = 0x3f6 };
enum { BUSY = 0x80, REQUEST = 0x08, ERROR = 0x01, NO_INTERRUPT = 0x02, LBA = 0x40 };
enum { READ_SECTORS = 0x20, READ_MULTIPLE = 0xc4, SET_MULTIPLE = 0xc6 };
enum { SECTOR_BYTES = 512, PER_COMMAND = 256, PER_BLOCK = 16, N_SECTORS = (16 << 20) / SECTOR_BYTES };

static uint8_t buffer[PER_COMMAND * SECTOR_BYTES] __attribute__((aligned(4096)));
static uint64_t checksum;

static void insw(void *into, word n_words)
{
    __asm__ volatile("rep insw" : "+D"(into), "+c"(n_words) : "d"((uint16_t)DATA_PORT) : "memory");
}

static void wait_for(uint8_t wanted)
{
    uint8_t status;
    while ((status = inb(STATUS)) & BUSY)
        ;
    if ((status & (REQUEST | ERROR)) != wanted) {
        show("status", status);
        quit(0x7f);
    }
}

/* One command of 256 sectors. */
static void read_sectors(uint8_t command, uint32_t lba, unsigned per_block)
{
    outb(COUNT, (uint8_t)PER_COMMAND);
    outb(LBA_LOW, (uint8_t)lba);
    outb(LBA_MID, (uint8_t)(lba >> 8));
    outb(LBA_HIGH, (uint8_t)(lba >> 16));
    outb(DEVICE, LBA | (lba >> 24 & 15));
    outb(COMMAND, command);
    for (unsigned i = 0; i < PER_COMMAND; i += per_block) {
        wait_for(REQUEST);
        insw(buffer + i * SECTOR_BYTES, per_block * SECTOR_BYTES / 2);
    }
    wait_for(0);
    for (unsigned i = 0; i < sizeof buffer; i += SECTOR_BYTES)
        checksum = checksum * 31 + *(uint64_t *)(buffer + i + i / SECTOR_BYTES % 64 * 8);
}

static void read_all(uint8_t command, unsigned per_block)
{
    print("<");
    for (uint32_t lba = 0; lba < N_SECTORS; lba += PER_COMMAND)
        read_sectors(command, lba, per_block);
    print(">");
}

int main(void)
{
    outb(CONTROL, NO_INTERRUPT);
    outb(DEVICE, LBA);
    outb(COUNT, PER_BLOCK);
    outb(COMMAND, SET_MULTIPLE);
    wait_for(0);
    read_all(READ_MULTIPLE, PER_BLOCK);
    read_all(READ_SECTORS, 1);
    outb(CONTROL, 0);
    read_all(READ_SECTORS, 1);
    show("\nchecksum", checksum);
    return 0;
}
