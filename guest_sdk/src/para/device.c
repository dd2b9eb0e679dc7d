/* SPDX-License-Identifier: MIT */
/*
 * The frontend's half of a connection. It grants its rings, allocates a port, writes their numbers to its own home in the
 * store, and last its state; the backend, which watches that, maps the rings, binds to the port and answers with a state
 * of its own.
 */
#include <pv/error.h>
#include <pv/event.h>
#include <pv/grant.h>
#include <pv/store.h>
#include <pv/string.h>

#include "device.h"

enum { PATH_MAX = 96, STATE_MAX = 16 };

/* FOLDER/NODE; both are the SDK's own, and short. */
static void join(char path[PATH_MAX], const char *folder, const char *node)
{
    size_t n_folder = strlen(folder), n_node = strlen(node);
    if (n_folder + 1 + n_node + 1 > PATH_MAX)
        __builtin_trap();
    memcpy(path, folder, n_folder);
    path[n_folder] = '/';
    memcpy(path + n_folder + 1, node, n_node + 1);
}

void pv_device_text(const struct pv_device *device, const char *node, char *text, uint32_t size_bytes)
{
    char path[PATH_MAX];
    join(path, device->folder, node);
    if (pv_store_get(0, path, text, size_bytes) < 0)
        text[0] = '\0';
}

uint64_t pv_device_number(const struct pv_device *device, const char *node)
{
    char path[PATH_MAX];
    uint64_t number;
    join(path, device->folder, node);
    return pv_store_get_number(0, path, &number) == 0 ? number : 0;
}

static int tell_number(const struct pv_device *device, const char *node, uint64_t number)
{
    char path[PATH_MAX];
    join(path, device->folder, node);
    return pv_store_put_number(0, path, number);
}

static int tell_state(const struct pv_device *device, const char *state)
{
    char path[PATH_MAX];
    join(path, device->folder, "state");
    return pv_store_put(0, path, state);
}

static bool backend_is(const struct pv_device *device, const char *state)
{
    char text[STATE_MAX] = "";
    pv_device_text(device, "backend/state", text, sizeof text);
    return memcmp(text, state, strlen(state) + 1) == 0;
}

/* Until the backend has answered. It signals the port when it binds, but not when it refuses: so the store is asked. */
static int wait_for_backend(const struct pv_device *device)
{
    while (!backend_is(device, "connected")) {
        if (backend_is(device, "error"))
            return -PV_EIO;
        pv_yield();
    }
    return 0;
}

int pv_device_connect(struct pv_device *device, const struct pv_device_ring *rings, unsigned n)
{
    uint64_t domid;
    char path[PATH_MAX];
    join(path, device->folder, "backend");
    if (pv_store_get_number(0, path, &domid) != 0 || domid > PV_DOMID_MAX)
        return -PV_ENODEV;
    device->domid = (uint32_t)domid;
    int64_t port = pv_event_alloc(device->domid);
    if (port < 0)
        return -PV_EIO;
    device->port = (uint32_t)port;
    for (unsigned i = 0; i < n; i++) {
        int64_t gref = pv_grant_page(device->domid, rings[i].page, 0);
        if (gref < 0 || tell_number(device, rings[i].node, (uint64_t)gref) != 0)
            return -PV_EIO;
    }
    if (tell_number(device, "port", device->port) != 0 || tell_state(device, "ready") != 0)
        return -PV_EIO;
    return wait_for_backend(device);
}

void pv_device_signal(const struct pv_device *device)
{
    pv_event_send(device->port);
}

/* A backend that ends lets go of its end of the channel, which signals this one. */
static bool is_bound(const struct pv_device *device)
{
    struct pv_event_info info;
    return pv_event_status(device->port, &info) == 0 && info.kind == PV_EVENT_BOUND;
}

int pv_device_wait(const struct pv_device *device, struct pv_ring *ring, struct pv_ring_response *response)
{
    for (;;) {
        int n = pv_ring_take(ring, response);
        if (n != 0)
            return n > 0 ? 0 : n;
        if (pv_ring_rest(ring))
            continue;
        if (!is_bound(device))
            return -PV_EIO;
        pv_poll(&device->port, 1, 0);
        pv_event_take(device->port); /* before the ring is looked at again: what comes after is a new signal */
    }
}
