/* SPDX-License-Identifier: MIT */
/* Both ends of a ring. Indices count on for ever; their differences are taken modulo 2^32. */
#include <pv/error.h>
#include <pv/ring.h>
#include <pv/string.h>

static uint32_t load(const uint32_t *index)
{
    return __atomic_load_n(index, __ATOMIC_ACQUIRE);
}

/* Is `event` one of the indices that become visible between BEFORE and NOW? */
static bool steps_over(uint32_t event, uint32_t before, uint32_t now)
{
    return now - event < now - before;
}

/* Show what lies below NOW. The fence: the other side's wish is read after it could see the index. */
static bool show(struct pv_ring *ring, uint32_t *producer, const uint32_t *event, uint32_t now)
{
    uint32_t before = ring->n_shown;
    ring->n_shown = now;
    __atomic_store_n(producer, now, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return steps_over(load(event), before, now);
}

/* Ask for a signal at index NEXT, and look once more. */
static bool rest(uint32_t *event, const uint32_t *producer, uint32_t next)
{
    __atomic_store_n(event, next + 1, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return load(producer) != next;
}

static void attach(struct pv_ring *ring, void *page, uint32_t n_slots, uint32_t request_bytes)
{
    uint8_t *bytes = page;
    *ring = (struct pv_ring){
        .header = page,
        .requests = bytes + PV_RING_HEADER_BYTES,
        .responses = (struct pv_ring_response *)(void *)(bytes + PV_RING_HEADER_BYTES + n_slots * request_bytes),
        .n_slots = n_slots,
        .request_bytes = request_bytes,
    };
}

static uint8_t *request_slot(const struct pv_ring *ring)
{
    return ring->requests + (size_t)(ring->n_requests % ring->n_slots) * ring->request_bytes;
}

static struct pv_ring_response *response_slot(const struct pv_ring *ring)
{
    return &ring->responses[ring->n_responses % ring->n_slots];
}

/* --- the frontend */

void pv_ring_init(struct pv_ring *ring, void *page, uint32_t n_slots, uint32_t request_bytes)
{
    memset(page, 0, PV_PAGE_BYTES);
    attach(ring, page, n_slots, request_bytes);
    ring->header->request_event = ring->header->response_event = 1;
}

uint32_t pv_ring_room(const struct pv_ring *ring)
{
    return ring->n_slots - (ring->n_requests - ring->n_responses);
}

void pv_ring_put(struct pv_ring *ring, const void *request)
{
    memcpy(request_slot(ring), request, ring->request_bytes);
    ring->n_requests++;
}

bool pv_ring_push(struct pv_ring *ring)
{
    struct pv_ring_header *header = ring->header;
    return show(ring, &header->request_producer, &header->request_event, ring->n_requests);
}

int pv_ring_take(struct pv_ring *ring, struct pv_ring_response *response)
{
    uint32_t n_there = load(&ring->header->response_producer) - ring->n_responses;
    if (n_there == 0)
        return 0;
    if (n_there > ring->n_shown - ring->n_responses)
        return -PV_EIO;
    memcpy(response, response_slot(ring), sizeof *response);
    ring->n_responses++;
    return 1;
}

bool pv_ring_rest(struct pv_ring *ring)
{
    return rest(&ring->header->response_event, &ring->header->response_producer, ring->n_responses);
}

/* --- the backend */

void pv_back_ring_init(struct pv_ring *ring, void *page, uint32_t n_slots, uint32_t request_bytes)
{
    attach(ring, page, n_slots, request_bytes);
}

int pv_back_ring_take(struct pv_ring *ring, void *request)
{
    uint32_t producer = load(&ring->header->request_producer);
    if (producer == ring->n_requests)
        return 0;
    if (producer - ring->n_requests > ring->n_slots - (ring->n_requests - ring->n_responses))
        return -PV_EIO;
    memcpy(request, request_slot(ring), ring->request_bytes);
    ring->n_requests++;
    return 1;
}

void pv_back_ring_put(struct pv_ring *ring, const struct pv_ring_response *response)
{
    memcpy(response_slot(ring), response, sizeof *response);
    ring->n_responses++;
}

bool pv_back_ring_push(struct pv_ring *ring)
{
    struct pv_ring_header *header = ring->header;
    return show(ring, &header->response_producer, &header->response_event, ring->n_responses);
}

bool pv_back_ring_rest(struct pv_ring *ring)
{
    return rest(&ring->header->request_event, &ring->header->request_producer, ring->n_requests);
}
