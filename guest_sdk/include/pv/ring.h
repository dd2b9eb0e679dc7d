/* SPDX-License-Identifier: MIT */
/*
 * Rings, which para and hybrid guests have: a page that two domains share, in which one (the frontend) puts requests
 * and the other (the backend) responses. All devices have the same ring; only the requests differ (pv/abi.h: struct
 * pv_ring_header, struct pv_block_request, struct pv_buffer_request, struct pv_ring_response).
 *
 * The frontend owns the page and grants it to the backend (pv/grant.h); both have an end of an event channel
 * (pv/event.h). Requests are taken in their order; responses may come in another, and are told by their id. There are
 * never more requests without a response than the ring has slots.
 *
 * Each side believes nothing that the other writes but one index, and of that only the distance to its own; and it
 * copies a request or response before it looks at it. What it wrote is there before the index that says so (the index
 * is stored with release order, and read with acquire order), so no barrier is left to the caller.
 *
 * To wait without losing a wake-up: take until there is nothing, call ..._rest, take again if it returns true, and only
 * then wait for the signal.
 *
 * No function here waits or calls the hypervisor. None may be called from a handler unless interrupts are disabled
 * around all others on the same ring.
 */
#ifndef PV_RING_H
#define PV_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pv/abi.h>

/* One end of a ring. The members are the SDK's own. */
struct pv_ring {
    struct pv_ring_header *header;
    uint8_t *requests;
    struct pv_ring_response *responses;
    uint32_t n_slots, request_bytes;
    uint32_t n_requests;  /* index of the next request: put here, or taken */
    uint32_t n_responses; /* index of the next response: taken here, or put */
    uint32_t n_shown;     /* what the other side has been shown */
};

/* --- the frontend */

/*
 * Begin with an empty ring in PAGE, whose PV_PAGE_BYTES are all overwritten: N_SLOTS (a power of two) for requests of
 * REQUEST_BYTES (a multiple of 8) and as many responses. They must have room behind the header:
 * PV_RING_HEADER_BYTES + N_SLOTS * (REQUEST_BYTES + sizeof (struct pv_ring_response)) is at most PV_PAGE_BYTES. To be
 * called before the page is granted.
 */
void pv_ring_init(struct pv_ring *ring, void *page, uint32_t n_slots, uint32_t request_bytes);

/* How many requests there is room for now. */
uint32_t pv_ring_room(const struct pv_ring *ring);

/*
 * Put a request, a copy of its REQUEST_BYTES; there must be room for one (pv_ring_room). The backend does not see it
 * before pv_ring_push.
 */
void pv_ring_put(struct pv_ring *ring, const void *request);

/* Show what has been put. Returns whether the backend wants a signal: then send one (pv_event_send). */
bool pv_ring_push(struct pv_ring *ring);

/*
 * Take a copy of the next response. Returns 1; 0: there is none now; -PV_EIO: the backend claims more than it was asked
 * for, and the ring is of no use any more.
 */
int pv_ring_take(struct pv_ring *ring, struct pv_ring_response *response);

/* Ask for a signal at the next response. Returns whether one has come already. */
bool pv_ring_rest(struct pv_ring *ring);

/* --- the backend */

/*
 * Serve the ring in PAGE, which the frontend has granted and is mapped here; a ring that nobody has served yet. N_SLOTS
 * and REQUEST_BYTES are the frontend's: the kind of device fixes both.
 */
void pv_back_ring_init(struct pv_ring *ring, void *page, uint32_t n_slots, uint32_t request_bytes);

/*
 * Take a copy of the next request, REQUEST_BYTES of it. Returns 1; 0: there is none now; -PV_EIO: the frontend claims
 * more than there can be, and the ring is of no use any more.
 */
int pv_back_ring_take(struct pv_ring *ring, void *request);

/* Put a response, one to each request that was taken. The frontend does not see it before pv_back_ring_push. */
void pv_back_ring_put(struct pv_ring *ring, const struct pv_ring_response *response);

/* Show what has been put. Returns whether the frontend wants a signal: then send one (pv_event_send). */
bool pv_back_ring_push(struct pv_ring *ring);

/* Ask for a signal at the next request. Returns whether one has come already. */
bool pv_back_ring_rest(struct pv_ring *ring);

#endif /* PV_RING_H */
