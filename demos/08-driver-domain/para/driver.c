/* SPDX-License-Identifier: MIT */
/*
 * A domain that is the disk of another. It has a MiB of memory, and for the other domain that is a block device like any:
 * the same nodes in the store, the same ring, the same frontend. Nothing of this is done by the hypervisor but what it does
 * for every two domains: it carries signals, lets one use the pages that the other has granted, and keeps the store.
 */
#include <stdbool.h>

#include <pv/console.h>
#include <pv/error.h>
#include <pv/event.h>
#include <pv/grant.h>
#include <pv/power.h>
#include <pv/printf.h>
#include <pv/ring.h>
#include <pv/store.h>
#include <pv/string.h>

#include "disk.h"

enum { PATH_MAX = 128, NAMES_MAX = 512 };
#define RING_AT PV_SPACE_START

/* Whom we serve: its number, its device in the store, our end of the channel to it. */
static struct {
    uint32_t domid;
    char path[PATH_MAX];
    uint32_t port;
    struct pv_ring ring;
} frontend;

static uint32_t store_port; /* signalled at each change of what we watch */

static void need(bool well, const char *what)
{
    if (!well)
        pv_crash(what);
}

static void sleep_until(uint32_t port)
{
    pv_poll(&port, 1, 0);
    pv_event_take(port); /* before we look: what comes after is a new signal */
}

/* A node of the device, by its name there. */
static const char *node(const char *name)
{
    static char path[PATH_MAX + 32];
    pv_snprintf(path, sizeof path, "%s/%s", frontend.path, name);
    return path;
}

/* --- set-up: by the store */

/* Who brings domains together has written `serves/NUMBER/block/0` into our home, with the device's path. */
static bool find_frontend(void)
{
    static char names[NAMES_MAX];
    int64_t n_bytes = pv_store_names(0, "serves", names, sizeof names);
    for (const char *name = names; name - names < n_bytes; name += strlen(name) + 1) {
        char path[PATH_MAX];
        pv_snprintf(path, sizeof path, "serves/%s/block/0", name);
        if (pv_store_get(0, path, frontend.path, sizeof frontend.path) <= 0)
            continue;
        frontend.domid = 0;
        for (const char *digit = name; *digit != '\0'; digit++)
            frontend.domid = frontend.domid * 10 + (uint32_t)(*digit - '0');
        return true;
    }
    return false;
}

static bool frontend_is_ready(void)
{
    char state[8] = "";
    return pv_store_get(0, node("state"), state, sizeof state) == 5 && memcmp(state, "ready", 5) == 0;
}

/* Until it is so. Each watch fires once when it is set, so nothing that came before is missed. */
static void wait_until(bool (*is_so)(void), const char *watched)
{
    need(pv_store_watch_path(watched, watched) == 0, "no watch");
    while (!is_so()) {
        struct pv_store_event event;
        sleep_until(store_port);
        while (pv_store_take(&event) == 0) {
        }
    }
    pv_store_unwatch_path(watched, watched);
}

/* It has granted its ring and allocated a port; map the one, bind to the other, and say so. */
static void connect(void)
{
    uint64_t gref, port;
    need(pv_store_get_number(0, node("ring"), &gref) == 0, "there is no ring");
    need(pv_store_get_number(0, node("port"), &port) == 0, "there is no port");
    need(pv_grant_attach(pv_space_kernel(), RING_AT, frontend.domid, (uint32_t)gref, 0) == 0, "the ring is not granted");
    pv_back_ring_init(&frontend.ring, (void *)RING_AT, PV_BLOCK_SLOTS, sizeof(struct pv_block_request));
    int64_t own_port = pv_event_bind(frontend.domid, (uint32_t)port);
    need(own_port > 0, "the port is not for us");
    frontend.port = (uint32_t)own_port;
    pv_store_put_number(0, node("backend/sectors"), N_SECTORS);
    pv_store_put(0, node("backend/mode"), "rw");
    pv_store_put(0, node("backend/state"), "connected");
}

/* --- service: by ring, grants and signals; nobody asks the store any more */

/* Closing its end, or dying, the frontend leaves ours without a partner, and signals it a last time. */
static bool is_there(void)
{
    struct pv_event_info info;
    return pv_event_status(frontend.port, &info) == 0 && info.kind == PV_EVENT_BOUND;
}

/* Answer all that is in the ring. Returns how many requests that were. */
static unsigned answer_all(void)
{
    struct pv_block_request request; /* a copy: the frontend can change what lies in the ring, but not this */
    unsigned n = 0;
    do {
        int taken;
        while ((taken = pv_back_ring_take(&frontend.ring, &request)) > 0) {
            uint32_t status = disk_do(frontend.domid, &request);
            const struct pv_ring_response response = {
                .id = request.id, .status = status, .n_bytes = status == 0 ? disk_bytes_of(&request) : 0};
            pv_back_ring_put(&frontend.ring, &response);
            n++;
        }
        need(taken == 0, "the ring lies");
        if (pv_back_ring_push(&frontend.ring))
            pv_event_send(frontend.port);
    } while (pv_back_ring_rest(&frontend.ring)); /* asks for a signal, and looks once more */
    return n;
}

int main(void)
{
    unsigned n_requests = 0;
    int64_t port = pv_event_bind_virq(PV_VIRQ_STORE, 0);
    need(port > 0, "no signals from the store");
    store_port = (uint32_t)port;
    wait_until(find_frontend, "serves");
    pv_printf("driver: asked to serve %s\n", frontend.path);
    wait_until(frontend_is_ready, node("state"));
    connect();
    pv_printf("driver: domain %u is connected to a disk of %u sectors\n", frontend.domid, N_SECTORS);
    for (;;) {
        n_requests += answer_all();
        if (!is_there())
            break;
        sleep_until(frontend.port);
    }
    need(pv_grant_detach(pv_space_kernel(), RING_AT) == 0, "the ring is still mapped");
    pv_printf("driver: it has gone, after %u requests\n", n_requests);
    return 0;
}
