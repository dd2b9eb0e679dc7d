/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain that serves the block ring of another: a disk of 1 MiB in its own memory, whose sectors begin with their number
 * as those of tests/sdk/test_twins.py do. It ends when the other domain does.
 */
#include <stdbool.h>

#include <pv/block.h>
#include <pv/error.h>
#include <pv/event.h>
#include <pv/grant.h>
#include <pv/power.h>
#include <pv/printf.h>
#include <pv/ring.h>
#include <pv/store.h>
#include <pv/string.h>

enum { N_SECTORS = 2048, PATH_MAX = 96 };
#define RING_AT PV_SPACE_START

static _Alignas(PV_PAGE_BYTES) uint8_t disk[N_SECTORS][PV_SECTOR_SIZE];
static char device[PATH_MAX];
static uint32_t frontend, port;
static unsigned n_requests, n_signals;

static void need(bool well, const char *what)
{
    if (!well)
        pv_crash(what);
}

static const char *node(const char *name)
{
    static char path[PATH_MAX];
    pv_snprintf(path, sizeof path, "%s/%s", device, name);
    return path;
}

static void wait_for(uint32_t signalled)
{
    pv_poll(&signalled, 1, 0);
    pv_event_take(signalled);
    n_signals++;
}

static void find_frontend(void)
{
    for (frontend = 1; frontend < 64; frontend++) {
        char path[PATH_MAX];
        pv_snprintf(path, sizeof path, "serves/%u/block/0", frontend);
        if (pv_store_get(0, path, device, sizeof device) > 0)
            return;
    }
    pv_crash("nobody to serve");
}

/* Until the frontend is ready. */
static void wait_for_frontend(void)
{
    char state[8];
    int64_t changes = pv_event_bind_virq(PV_VIRQ_STORE, 0);
    need(changes > 0 && pv_store_watch_path(node("state"), "state") == 0, "no watch");
    while (pv_store_get(0, node("state"), state, sizeof state) != 5 || memcmp(state, "ready", 5) != 0) {
        struct pv_store_event event;
        wait_for((uint32_t)changes);
        while (pv_store_take(&event) == 0) {
        }
    }
}

static void connect(struct pv_ring *ring)
{
    uint64_t gref, remote;
    need(pv_store_get_number(0, node("ring"), &gref) == 0 && pv_store_get_number(0, node("port"), &remote) == 0,
         "no ring");
    need(pv_grant_attach(pv_space_kernel(), RING_AT, frontend, (uint32_t)gref, 0) == 0, "ring not granted");
    pv_back_ring_init(ring, (void *)RING_AT, PV_BLOCK_SLOTS, sizeof(struct pv_block_request));
    int64_t own = pv_event_bind(frontend, (uint32_t)remote);
    need(own > 0, "no port");
    port = (uint32_t)own;
    need(pv_store_put_number(0, node("backend/sectors"), N_SECTORS) == 0 &&
             pv_store_put(0, node("backend/mode"), "rw") == 0 &&
             pv_store_put(0, node("backend/state"), "connected") == 0,
         "cannot answer");
}

/* Bytes of the disk from or to a page of the frontend's, as far as both stay in one page. */
static uint32_t copy(bool is_read, uint8_t *here, uint32_t gref, uint32_t offset, uint32_t n_bytes)
{
    uint32_t in_page = (uintptr_t)here % PV_PAGE_BYTES, n = PV_PAGE_BYTES - in_page;
    n = n < n_bytes ? n : n_bytes;
    uint64_t own = (uintptr_t)here - in_page;
    struct pv_grant_copy_op op = {.n_bytes = n};
    if (is_read)
        op = (struct pv_grant_copy_op){own, gref, PV_DOMID_SELF, in_page, frontend, offset, n, 0};
    else
        op = (struct pv_grant_copy_op){gref, own, frontend, offset, PV_DOMID_SELF, in_page, n, 0};
    return pv_grant_copy(&op, 1) == 1 && op.status == 0 ? n : 0;
}

static uint32_t transfer(const struct pv_block_request *request)
{
    if (request->n_segments > PV_BLOCK_SEGMENTS || request->sector >= N_SECTORS)
        return PV_EINVAL;
    uint8_t *at = disk[request->sector], *end = (uint8_t *)disk + sizeof disk;
    for (unsigned i = 0; i < request->n_segments; i++) {
        const struct pv_block_segment *segment = &request->segments[i];
        if (segment->n_bytes > end - at)
            return PV_EINVAL;
        for (uint32_t done = 0, n; done < segment->n_bytes; done += n, at += n) {
            n = copy(request->op == PV_BLOCK_READ, at, segment->gref, segment->offset + done, segment->n_bytes - done);
            if (n == 0)
                return PV_EINVAL;
        }
    }
    return 0;
}

static bool is_bound(void)
{
    struct pv_event_info info;
    return pv_event_status(port, &info) == 0 && info.kind == PV_EVENT_BOUND;
}

static void serve(struct pv_ring *ring)
{
    for (;;) {
        struct pv_block_request request;
        int n = pv_back_ring_take(ring, &request);
        need(n >= 0, "the ring lies");
        if (n > 0) {
            struct pv_ring_response response = {.id = request.id};
            if (request.op == PV_BLOCK_READ || request.op == PV_BLOCK_WRITE)
                response.status = transfer(&request);
            n_requests++;
            pv_back_ring_put(ring, &response);
            continue;
        }
        if (pv_back_ring_push(ring))
            pv_event_send(port);
        if (pv_back_ring_rest(ring))
            continue;
        if (!is_bound())
            return;
        wait_for(port);
    }
}

int main(void)
{
    struct pv_ring ring;
    uint32_t *words = (uint32_t *)(void *)disk;
    for (uint32_t sector = 0; sector < N_SECTORS; sector++)
        for (uint32_t word = 0; word < PV_SECTOR_SIZE / 4; word++)
            *words++ = sector * 1000 + word;
    find_frontend();
    wait_for_frontend();
    connect(&ring);
    serve(&ring);
    need(pv_grant_detach(pv_space_kernel(), RING_AT) == 0, "cannot let go");
    pv_printf("served %u requests, woken %u times\n", n_requests, n_signals);
    return 0;
}
