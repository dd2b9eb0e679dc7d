/* SPDX-License-Identifier: MIT */
/* How a frontend finds its backend through the store, and waits for it. */
#ifndef PV_SRC_DEVICE_H
#define PV_SRC_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include <pv/ring.h>

struct pv_device {
    const char *folder; /* its nodes in the store, "device/block/0" for instance */
    uint32_t domid;     /* the backend */
    uint32_t port;      /* the event channel to it */
};

/* A ring to connect: its page, and the node that tells the backend of it. */
struct pv_device_ring {
    const char *node;
    void *page;
};

/*
 * Connect the N rings, which are set up, to the backend of DEVICE, whose folder is set. Blocks until the backend answers.
 * Returns 0; -PV_ENODEV: there is no such device; -PV_EIO: it does not connect.
 */
int pv_device_connect(struct pv_device *device, const struct pv_device_ring *rings, unsigned n);

/* The number in a node that the backend has written; 0 where there is none. */
uint64_t pv_device_number(const struct pv_device *device, const char *node);

/* The text in such a node, "" where there is none. */
void pv_device_text(const struct pv_device *device, const char *node, char *text, uint32_t size_bytes);

/* Tell the backend to look at its rings. */
void pv_device_signal(const struct pv_device *device);

/* Take a response; blocks until there is one. Returns 0; -PV_EIO: the backend breaks the rules, or is gone. */
int pv_device_wait(const struct pv_device *device, struct pv_ring *ring, struct pv_ring_response *response);

#endif /* PV_SRC_DEVICE_H */
