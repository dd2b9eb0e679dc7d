/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The disk by pv/block.h: 1 MiB whose sectors begin with their number, as the test has made it. */
#include <stdbool.h>

#include <pv/block.h>
#include <pv/error.h>
#include <pv/printf.h>
#include <pv/string.h>

static uint32_t buffer[600][PV_SECTOR_SIZE / 4];

static void show(const char *what, int result)
{
    pv_printf("%s: %d\n", what, result);
}

/* Are the N sectors of the buffer those from FIRST on? */
static bool are(uint32_t first, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        for (unsigned word = 0; word < PV_SECTOR_SIZE / 4; word++)
            if (buffer[i][word] != (first + i) * 1000 + word)
                return false;
    return true;
}

int main(void)
{
    uint64_t n = pv_block_sectors();
    pv_printf("sectors: %lu\n", n);
    if (n == 0) {
        pv_printf("without a disk: %d %d %d\n", pv_block_read(0, 1, buffer), pv_block_write(0, 1, buffer),
                  pv_block_flush());
        return 0;
    }
    show("one", pv_block_read(0, 1, buffer));
    show("right", are(0, 1));
    show("seven", pv_block_read(n - 7, 7, buffer));
    show("right", are((uint32_t)n - 7, 7));
    show("more than a command can", pv_block_read(3, 600, buffer));
    show("right", are(3, 600));
    show("none", pv_block_read(n, 0, buffer));
    show("behind the end", pv_block_read(n, 1, buffer));
    show("over the end", pv_block_read(n - 1, 2, buffer));
    show("far away", pv_block_read(~0ull, 2, buffer));
    show("too many", pv_block_write(1, ~(size_t)0, buffer));
    show("write", pv_block_write(100, 600, buffer));
    show("flush", pv_block_flush());
    memset(buffer, 0, sizeof buffer);
    show("read back", pv_block_read(100, 600, buffer));
    show("right", are(3, 600));
    show("the next is untouched", pv_block_read(700, 1, buffer) == 0 && are(700, 1));
    return 0;
}
