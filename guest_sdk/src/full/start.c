/* SPDX-License-Identifier: MIT */
/* From the loader's words to main(): the command line, the memory map, the final page tables. */
#include <stdint.h>

#include <pv/power.h>
#include <pv/start.h>
#include <pv/string.h>

#include "paging.h"
#include "pvh.h"
#include "uart.h"

#define N_RAM 64

/* How much RAM there is taken to be when the loader gives no memory map. */
#define ASSUMED_RAM_BYTES 0x1000000

extern int main(void);
_Noreturn void pv_start(const struct pvh_start_info *info);

/*
 * Copies: the loader's own structures lie in memory that the guest may use for itself. QEMU's loader and pvisor's
 * take a command line of at most 4095 bytes.
 */
static char cmdline[4096];
static struct ram ram[N_RAM];
static size_t n_ram;
static uint64_t ram_bytes;

static void copy_cmdline(const char *from)
{
    size_t length = strlen(from);
    if (length > sizeof cmdline - 1)
        length = sizeof cmdline - 1;
    memcpy(cmdline, from, length);
}

static size_t copy_memory_map(const struct pvh_start_info *info)
{
    if (info->version < 1 || info->memory_map == 0 || info->n_memory_map == 0) {
        ram[0] = (struct ram){.start = 0, .end = ASSUMED_RAM_BYTES};
        return 1;
    }
    const struct pvh_memory *map = (const struct pvh_memory *)info->memory_map;
    size_t n = 0;
    for (uint32_t i = 0; i < info->n_memory_map && n < N_RAM; i++) {
        if (map[i].type == PVH_MEMORY_RAM)
            ram[n++] = (struct ram){.start = map[i].start, .end = map[i].start + map[i].size_bytes};
    }
    return n;
}

_Noreturn void pv_start(const struct pvh_start_info *info)
{
    pv_console_start();
    if (info->magic != PVH_START_MAGIC)
        pv_crash("the loader does not speak PVH: EBX is not the address of its start info");
    if (info->cmdline != 0)
        copy_cmdline((const char *)info->cmdline);
    n_ram = copy_memory_map(info);
    ram_bytes = pv_paging_start(ram, n_ram); /* INFO is gone from here on */
    pv_exit(main());
}

const char *pv_cmdline(void)
{
    return cmdline;
}

size_t pv_memory_bytes(void)
{
    return ram_bytes;
}

const struct ram *pv_ram(size_t *n)
{
    *n = n_ram;
    return ram;
}
