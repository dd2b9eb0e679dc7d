/* SPDX-License-Identifier: MIT */
/*
 * A disk of at least 128 KiB: writes, reads and flushes of different sizes, and a note in its first sector of how often all
 * this was done, which the next run finds. The functions below are the rows of `pvisor compare disk`.
 */
#include <stdbool.h>

#include <pv/block.h>
#include <pv/error.h>
#include <pv/power.h>
#include <pv/printf.h>
#include <pv/string.h>

#define KIB             1024u
#define SECTORS(kib)    ((kib) * KIB / PV_SECTOR_SIZE)
#define DATA_START      8u /* the first sector after the note's 4 KiB */
#define N_DATA_SECTORS  SECTORS(64)

/* Functions that are called once, and still are not to vanish in main. */
#define WATCHED __attribute__((noinline))

static const char title[8] = "pvisor05";

struct note {
    char title[8];
    uint64_t n_runs;
    uint8_t unused[PV_SECTOR_SIZE - 16];
};

static uint8_t written[N_DATA_SECTORS][PV_SECTOR_SIZE], read[N_DATA_SECTORS][PV_SECTOR_SIZE];

static void need(bool well, const char *what)
{
    if (!well)
        pv_crash(what);
}

static void compose(uint64_t run)
{
    for (uint32_t sector = 0; sector < N_DATA_SECTORS; sector++)
        for (uint32_t i = 0; i < PV_SECTOR_SIZE; i++)
            written[sector][i] = (uint8_t)(sector * 31 + i * 7 + run);
}

WATCHED void write_64_kib(void)
{
    need(pv_block_write(DATA_START, N_DATA_SECTORS, written) == 0, "not written");
}

WATCHED void flush(void)
{
    need(pv_block_flush() == 0, "not flushed");
}

WATCHED void read_64_kib(void)
{
    need(pv_block_read(DATA_START, N_DATA_SECTORS, read) == 0, "not read");
}

WATCHED void read_4_kib(void)
{
    need(pv_block_read(DATA_START, SECTORS(4), read) == 0, "not read");
}

WATCHED void read_4_kib_by_sectors(void)
{
    for (uint32_t i = 0; i < SECTORS(4); i++)
        need(pv_block_read(DATA_START + i, 1, read[i]) == 0, "not read");
}

/* Forget what was read, read again, and see whether it is what was written. */
static bool is_right(void (*read_again)(void), size_t n_sectors)
{
    memset(read, 0xee, sizeof read);
    read_again();
    return memcmp(read, written, n_sectors * PV_SECTOR_SIZE) == 0;
}

static uint64_t take_note(void)
{
    static struct note note;
    need(pv_block_read(0, 1, &note) == 0, "the first sector cannot be read");
    uint64_t n_runs = memcmp(note.title, title, sizeof title) == 0 ? note.n_runs : 0;
    memcpy(note.title, title, sizeof title);
    note.n_runs = n_runs + 1;
    need(pv_block_write(0, 1, &note) == 0, "the first sector cannot be written");
    return n_runs;
}

static const char *answer(bool is_yes)
{
    return is_yes ? "as it was written" : "WRONG";
}

int main(void)
{
    uint64_t n_disk = pv_block_sectors();
    if (n_disk < DATA_START + N_DATA_SECTORS) {
        pv_printf("There is no disk, or only a small one, of %lu sectors.\n", (unsigned long)n_disk);
        return 1;
    }
    pv_printf("The disk has %lu sectors of %u bytes.\n", (unsigned long)n_disk, PV_SECTOR_SIZE);
    uint64_t n_runs = take_note();
    pv_printf("It was used by this program %lu times before.\n", (unsigned long)n_runs);
    compose(n_runs);
    write_64_kib();
    flush();
    pv_printf("64 KiB in one go: %s\n", answer(is_right(read_64_kib, N_DATA_SECTORS)));
    pv_printf(" 4 KiB in one go: %s\n", answer(is_right(read_4_kib, SECTORS(4))));
    pv_printf(" 4 KiB by sectors: %s\n", answer(is_right(read_4_kib_by_sectors, SECTORS(4))));
    bool is_refused = pv_block_read(n_disk - 1, 2, read) == -PV_ERANGE;
    pv_printf("Beyond the end: %s\n", is_refused ? "refused" : "WRONG");
    return 0;
}
