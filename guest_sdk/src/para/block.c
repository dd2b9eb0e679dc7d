/* SPDX-License-Identifier: MIT */
/*
 * The block ring. Sectors go through pages that were granted once: a grant for each page of the caller's buffer would
 * cost two hypercalls, and a copy costs none. Several requests are under way at a time, with one signal for all.
 */
#include <stdbool.h>

#include <pv/block.h>
#include <pv/error.h>
#include <pv/grant.h>
#include <pv/string.h>

#include "device.h"

enum { N_REQUESTS = 4, PAGE_SECTORS = PV_PAGE_BYTES / PV_SECTOR_SIZE };
enum { N_PAGES = N_REQUESTS * PV_BLOCK_SEGMENTS, MAX_SECTORS = PV_BLOCK_SEGMENTS * PAGE_SECTORS };

static _Alignas(PV_PAGE_BYTES) uint8_t ring_page[PV_PAGE_BYTES];
static _Alignas(PV_PAGE_BYTES) uint8_t pages[N_PAGES * PV_PAGE_BYTES];
static uint32_t grefs[N_PAGES];

static struct pv_device device = {.folder = "device/block/0"};
static struct pv_ring ring;
static bool is_looked_for;
static uint64_t n_disk; /* sectors; 0: there is no disk */

static void look_for_disk(void)
{
    static const struct pv_device_ring rings[] = {{"ring", ring_page}};
    is_looked_for = true;
    pv_ring_init(&ring, ring_page, PV_BLOCK_SLOTS, sizeof(struct pv_block_request));
    if (pv_device_connect(&device, rings, 1) != 0)
        return;
    for (unsigned i = 0; i < N_PAGES; i++) {
        int64_t gref = pv_grant_page(device.domid, pages + i * PV_PAGE_BYTES, 0);
        if (gref < 0)
            return;
        grefs[i] = (uint32_t)gref;
    }
    n_disk = pv_device_number(&device, "backend/sectors");
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

/* A request for N sectors, whose data are in the pages of request ID. */
static void put(uint32_t id, uint16_t op, uint64_t sector, uint32_t n)
{
    struct pv_block_request request = {.id = id, .op = op, .sector = sector, .n_sectors = n};
    for (uint32_t done = 0; done < n; done += PAGE_SECTORS) {
        uint32_t part = n - done < PAGE_SECTORS ? n - done : PAGE_SECTORS;
        request.segments[request.n_segments] = (struct pv_block_segment){
            .gref = grefs[id * PV_BLOCK_SEGMENTS + request.n_segments], .n_bytes = (uint16_t)(part * PV_SECTOR_SIZE)};
        request.n_segments++;
    }
    pv_ring_put(&ring, &request);
}

/* Show what was put, and wait for all N responses. */
static int finish(unsigned n)
{
    int result = 0;
    if (pv_ring_push(&ring))
        pv_device_signal(&device);
    for (unsigned i = 0; i < n; i++) {
        struct pv_ring_response response;
        if (pv_device_wait(&device, &ring, &response) != 0)
            return -PV_EIO;
        if (response.status != 0)
            result = -PV_EIO;
    }
    return result;
}

/* So many sectors belong to request I of a round of N. */
static uint32_t share(unsigned i, size_t n)
{
    size_t rest = n - (size_t)i * MAX_SECTORS;
    return rest < MAX_SECTORS ? (uint32_t)rest : MAX_SECTORS;
}

static int round_of(uint16_t op, uint64_t sector, size_t n, uint8_t *buffer)
{
    unsigned n_requests = (unsigned)((n + MAX_SECTORS - 1) / MAX_SECTORS);
    if (op == PV_BLOCK_WRITE)
        memcpy(pages, buffer, n * PV_SECTOR_SIZE); /* requests' pages lie one after the other */
    for (unsigned i = 0; i < n_requests; i++)
        put(i, op, sector + (uint64_t)i * MAX_SECTORS, share(i, n));
    int result = finish(n_requests);
    if (result == 0 && op == PV_BLOCK_READ)
        memcpy(buffer, pages, n * PV_SECTOR_SIZE);
    return result;
}

static int transfer(uint16_t op, uint64_t sector, size_t n_sectors, uint8_t *buffer)
{
    int result = check(sector, n_sectors);
    while (result == 0 && n_sectors > 0) {
        size_t n = n_sectors < N_REQUESTS * MAX_SECTORS ? n_sectors : N_REQUESTS * MAX_SECTORS;
        result = round_of(op, sector, n, buffer);
        sector += n;
        n_sectors -= n;
        buffer += n * PV_SECTOR_SIZE;
    }
    return result;
}

int pv_block_read(uint64_t sector, size_t n_sectors, void *buffer)
{
    return transfer(PV_BLOCK_READ, sector, n_sectors, buffer);
}

int pv_block_write(uint64_t sector, size_t n_sectors, const void *buffer)
{
    return transfer(PV_BLOCK_WRITE, sector, n_sectors, (uint8_t *)(uintptr_t)buffer);
}

int pv_block_flush(void)
{
    if (pv_block_sectors() == 0)
        return -PV_ENODEV;
    put(0, PV_BLOCK_FLUSH, 0, 0);
    return finish(1);
}
