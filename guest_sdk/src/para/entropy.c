/* SPDX-License-Identifier: MIT */
/* The entropy ring, a page at a time. */
#include <stdbool.h>

#include <pv/entropy.h>
#include <pv/error.h>
#include <pv/grant.h>
#include <pv/string.h>

#include "device.h"

static _Alignas(PV_PAGE_BYTES) uint8_t ring_page[PV_PAGE_BYTES];
static _Alignas(PV_PAGE_BYTES) uint8_t page[PV_PAGE_BYTES];

static struct pv_device device = {.folder = "device/entropy/0"};
static struct pv_ring ring;
static int64_t gref;

static bool connect(void)
{
    static const struct pv_device_ring rings[] = {{"ring", ring_page}};
    pv_ring_init(&ring, ring_page, PV_BUFFER_SLOTS, sizeof(struct pv_buffer_request));
    gref = pv_device_connect(&device, rings, 1) == 0 ? pv_grant_page(device.domid, page, 0) : -PV_ENODEV;
    return gref > 0;
}

/* Fill the first N bytes of the page. */
static int fill(uint16_t n)
{
    struct pv_buffer_request request = {.op = PV_BUFFER_READ, .gref = (uint32_t)gref, .n_bytes = n};
    struct pv_ring_response response;
    pv_ring_put(&ring, &request);
    if (pv_ring_push(&ring))
        pv_device_signal(&device);
    int error = pv_device_wait(&device, &ring, &response);
    return error != 0 ? error : response.status == 0 && response.n_bytes == n ? 0 : -PV_EIO;
}

int pv_entropy(void *buffer, size_t size_bytes)
{
    uint8_t *to = buffer;
    if (gref == 0 && !connect())
        return -PV_ENODEV;
    if (gref < 0)
        return -PV_ENODEV;
    while (size_bytes > 0) {
        size_t n = size_bytes < PV_PAGE_BYTES ? size_bytes : PV_PAGE_BYTES;
        int error = fill((uint16_t)n);
        if (error != 0)
            return error;
        memcpy(to, page, n);
        to += n;
        size_bytes -= n;
    }
    return 0;
}
