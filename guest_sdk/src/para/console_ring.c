/* SPDX-License-Identifier: MIT */
/*
 * The console ring. Output goes through pages that were granted once, as many as there are with one signal; a request to
 * read is always there, so that input comes as soon as it can.
 */
#include <stdbool.h>

#include <pv/console_ring.h>
#include <pv/error.h>
#include <pv/event.h>
#include <pv/grant.h>
#include <pv/string.h>

#include "console.h"
#include "device.h"
#include "event.h"
#include "interrupt.h"

enum { N_PAGES = 16, INPUT_ID = N_PAGES };

static _Alignas(PV_PAGE_BYTES) uint8_t ring_page[PV_PAGE_BYTES];
static _Alignas(PV_PAGE_BYTES) uint8_t output[N_PAGES * PV_PAGE_BYTES];
static _Alignas(PV_PAGE_BYTES) uint8_t input[PV_PAGE_BYTES];
static uint32_t output_grefs[N_PAGES], input_gref;

static struct pv_device device = {.folder = "device/console/0"};
static struct pv_ring ring;
static bool is_connected, is_told; /* pv_console_on_input has set a handler */
static uint32_t n_input, n_read;  /* bytes of input, and how many of them pv_getc has given */
static unsigned n_written_pages;  /* pages that the backend has not answered for */
static bool is_failed;

static void ask_for_input(void)
{
    struct pv_buffer_request request = {.id = INPUT_ID, .op = PV_BUFFER_READ, .gref = input_gref, .n_bytes = PV_PAGE_BYTES};
    n_input = n_read = 0;
    pv_ring_put(&ring, &request);
    if (pv_ring_push(&ring))
        pv_device_signal(&device);
}

static void take(const struct pv_ring_response *response)
{
    if (response->status != 0)
        is_failed = true;
    if (response->id != INPUT_ID)
        n_written_pages--;
    else
        n_input = response->n_bytes < PV_PAGE_BYTES ? response->n_bytes : PV_PAGE_BYTES;
}

/*
 * Ask for a signal when input comes. What came meanwhile, seen by ring_write alone, is told as if it came now; where the
 * source is masked, as soon as it is no more.
 */
static void rest(void)
{
    struct pv_ring_response response;
    while (pv_ring_rest(&ring) && pv_ring_take(&ring, &response) > 0)
        take(&response);
    if (is_told && n_read < n_input) {
        uint64_t bit = 1ull << device.port % 64;
        __atomic_fetch_or(&pv_shared->pending[device.port / 64], bit, __ATOMIC_SEQ_CST);
        if (!(__atomic_load_n(&pv_shared->mask[device.port / 64], __ATOMIC_SEQ_CST) & bit))
            pv_event_unmask(device.port);
    }
}

static long ring_write(const void *buf, size_t size)
{
    const uint8_t *bytes = buf;
    size_t n_done = 0;
    while (n_done < size && !is_failed) {
        for (unsigned i = 0; i < N_PAGES && n_done < size; i++) {
            size_t n = size - n_done < PV_PAGE_BYTES ? size - n_done : PV_PAGE_BYTES;
            struct pv_buffer_request request = {
                .id = i, .op = PV_BUFFER_WRITE, .gref = output_grefs[i], .n_bytes = (uint16_t)n};
            memcpy(output + i * PV_PAGE_BYTES, bytes + n_done, n);
            pv_ring_put(&ring, &request);
            n_written_pages++;
            n_done += n;
        }
        if (pv_ring_push(&ring))
            pv_device_signal(&device);
        while (n_written_pages > 0) {
            struct pv_ring_response response;
            int n = pv_ring_take(&ring, &response);
            if (n > 0)
                take(&response);
            else if (n < 0)
                return -PV_EIO;
            else
                pv_yield(); /* the port's signal belongs to input: it is not waited for here */
        }
    }
    rest();
    return is_failed ? -PV_EIO : (long)n_done;
}

static int ring_getc(void)
{
    struct pv_ring_response response;
    while (n_read == n_input) {
        if (n_input > 0)
            ask_for_input();
        int n = pv_ring_take(&ring, &response);
        if (n > 0)
            take(&response);
        else if (n < 0 || !pv_ring_rest(&ring))
            return -1;
    }
    return input[n_read++];
}

static int ring_on_input(pv_interrupt_handler *handler, void *context)
{
    int error = pv_interrupt_set(PV_SOURCE_CONSOLE, handler, context);
    is_told = handler != NULL;
    rest();
    return error;
}

int pv_console_connect(void)
{
    static const struct pv_device_ring rings[] = {{"ring", ring_page}};
    static const struct pv_console_way way = {ring_write, ring_getc, ring_on_input};
    if (is_connected)
        return 0;
    pv_ring_init(&ring, ring_page, PV_BUFFER_SLOTS, sizeof(struct pv_buffer_request));
    int error = pv_device_connect(&device, rings, 1);
    if (error != 0)
        return error;
    int64_t gref = pv_grant_page(device.domid, input, 0);
    input_gref = (uint32_t)gref;
    for (unsigned i = 0; i < N_PAGES && gref > 0; i++) {
        gref = pv_grant_page(device.domid, output + i * PV_PAGE_BYTES, PV_GRANT_READ_ONLY);
        output_grefs[i] = (uint32_t)gref;
    }
    if (gref < 0)
        return -PV_EIO;
    ask_for_input();
    pv_interrupt_adopt(PV_SOURCE_CONSOLE, device.port);
    pv_console_way = &way;
    is_connected = true;
    return 0;
}
