/* SPDX-License-Identifier: MIT */
/*
 * The net rings: one to send, one to receive. Frames go through buffers that were granted once, two to a page. The
 * receive ring always holds empty buffers; those that came back full are put again half a ring at a time, and no signal is
 * needed for that.
 */
#include <stdbool.h>

#include <pv/error.h>
#include <pv/event.h>
#include <pv/grant.h>
#include <pv/net.h>
#include <pv/string.h>

#include "device.h"
#include "interrupt.h"

enum { N_BUFFERS = 32, BUFFER_BYTES = 2048, PER_PAGE = PV_PAGE_BYTES / BUFFER_BYTES };
enum { N_PAGES = N_BUFFERS / PER_PAGE, WIRE_MIN = 60 };

static _Alignas(PV_PAGE_BYTES) uint8_t send_page[PV_PAGE_BYTES];
static _Alignas(PV_PAGE_BYTES) uint8_t receive_page[PV_PAGE_BYTES];
static _Alignas(PV_PAGE_BYTES) uint8_t outgoing[PV_PAGE_BYTES];
static _Alignas(PV_PAGE_BYTES) uint8_t incoming[N_PAGES * PV_PAGE_BYTES];
static uint32_t outgoing_gref, incoming_grefs[N_PAGES];

static struct pv_device device = {.folder = "device/net/0"};
static struct pv_ring send_ring, receive_ring;
static bool is_looked_for, is_there;
static uint8_t address[6];
static uint32_t used[N_BUFFERS], n_used; /* buffers that have been read, to be put again */

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "52:54:00:12:34:56" */
static bool read_address(void)
{
    char text[3 * sizeof address];
    pv_device_text(&device, "backend/mac", text, sizeof text);
    if (strlen(text) != sizeof text - 1)
        return false;
    for (unsigned i = 0; i < sizeof address; i++) {
        int high = digit(text[3 * i]), low = digit(text[3 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        address[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* Offer a buffer to the next frame. */
static void put_empty(uint32_t index)
{
    struct pv_buffer_request request = {
        .id = index,
        .op = PV_BUFFER_READ,
        .gref = incoming_grefs[index / PER_PAGE],
        .offset = (uint16_t)(index % PER_PAGE * BUFFER_BYTES),
        .n_bytes = BUFFER_BYTES,
    };
    pv_ring_put(&receive_ring, &request);
}

static bool grant_buffers(void)
{
    int64_t gref = pv_grant_page(device.domid, outgoing, PV_GRANT_READ_ONLY);
    outgoing_gref = (uint32_t)gref;
    for (unsigned i = 0; i < N_PAGES && gref >= 0; i++) {
        gref = pv_grant_page(device.domid, incoming + i * PV_PAGE_BYTES, 0);
        incoming_grefs[i] = (uint32_t)gref;
    }
    return gref >= 0;
}

static void look_for_card(void)
{
    static const struct pv_device_ring rings[] = {{"send-ring", send_page}, {"receive-ring", receive_page}};
    is_looked_for = true;
    pv_ring_init(&send_ring, send_page, PV_BUFFER_SLOTS, sizeof(struct pv_buffer_request));
    pv_ring_init(&receive_ring, receive_page, PV_BUFFER_SLOTS, sizeof(struct pv_buffer_request));
    if (pv_device_connect(&device, rings, 2) != 0 || !read_address() || !grant_buffers())
        return;
    for (uint32_t i = 0; i < N_BUFFERS; i++)
        put_empty(i);
    if (pv_ring_push(&receive_ring))
        pv_device_signal(&device);
    is_there = true;
}

static bool has_card(void)
{
    if (!is_looked_for)
        look_for_card();
    return is_there;
}

int pv_net_mac(uint8_t mac[6])
{
    if (!has_card())
        return -PV_ENODEV;
    memcpy(mac, address, sizeof address);
    return 0;
}

int pv_net_send(const void *frame, size_t size_bytes)
{
    if (!has_card())
        return -PV_ENODEV;
    if (size_bytes < PV_FRAME_MIN || size_bytes > PV_FRAME_MAX)
        return -PV_EINVAL;
    size_t n_bytes = size_bytes < WIRE_MIN ? WIRE_MIN : size_bytes;
    memcpy(outgoing, frame, size_bytes);
    memset(outgoing + size_bytes, 0, n_bytes - size_bytes);
    struct pv_buffer_request request = {.op = PV_BUFFER_WRITE, .gref = outgoing_gref, .n_bytes = (uint16_t)n_bytes};
    struct pv_ring_response response;
    pv_ring_put(&send_ring, &request);
    if (pv_ring_push(&send_ring))
        pv_device_signal(&device);
    int n;
    while ((n = pv_ring_take(&send_ring, &response)) == 0)
        pv_yield(); /* the port's signal belongs to frames that come: it is not waited for here */
    return n > 0 && response.status == 0 ? 0 : -PV_EIO;
}

static void put_again(uint32_t index)
{
    used[n_used++] = index;
    if (n_used < N_BUFFERS / 2)
        return;
    while (n_used > 0)
        put_empty(used[--n_used]);
    if (pv_ring_push(&receive_ring))
        pv_device_signal(&device);
}

static bool is_for_us(const uint8_t *frame)
{
    static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    return memcmp(frame, address, sizeof address) == 0 || memcmp(frame, all, sizeof all) == 0;
}

/* Take what has come: 1, with its buffer and size; 0: nothing. */
static int take(uint32_t *index, uint32_t *size_bytes)
{
    struct pv_ring_response response;
    for (;;) {
        int n = pv_ring_take(&receive_ring, &response);
        if (n < 0 || (n == 0 && !pv_ring_rest(&receive_ring)))
            return 0;
        if (n == 0 || response.id >= N_BUFFERS)
            continue;
        if (response.status == 0 && response.n_bytes <= BUFFER_BYTES &&
            is_for_us(incoming + response.id * BUFFER_BYTES)) {
            *index = response.id;
            *size_bytes = response.n_bytes;
            return 1;
        }
        put_again(response.id);
    }
}

long pv_net_receive(void *frame, size_t size_bytes)
{
    if (!has_card())
        return -PV_ENODEV;
    uint32_t index, n_bytes;
    if (!take(&index, &n_bytes))
        return 0;
    memcpy(frame, incoming + index * BUFFER_BYTES, n_bytes < size_bytes ? n_bytes : size_bytes);
    put_again(index);
    return (long)n_bytes;
}

int pv_net_on_receive(pv_interrupt_handler *handler, void *context)
{
    if (!has_card())
        return -PV_ENODEV;
    pv_interrupt_adopt(PV_SOURCE_NET, device.port);
    pv_ring_rest(&receive_ring); /* the next frame signals */
    pv_event_take(device.port);  /* those before it are not told of */
    return pv_interrupt_set(PV_SOURCE_NET, handler, context);
}
