/* SPDX-License-Identifier: MIT */
/*
 * The NE2000 at its usual place. The card has 16 KiB of memory of its own, which the CPU reaches word by word through one
 * I/O port ("remote DMA"): six pages of 256 bytes for the frame that goes out, the rest a ring of those that came.
 */
#include <stdbool.h>

#include <pv/error.h>
#include <pv/net.h>

#include "io.h"

#define NIC 0x300
#define CR  (NIC + 0x00)

/* Page 0. */
#define PSTART    (NIC + 0x01)
#define PSTOP     (NIC + 0x02)
#define BNRY      (NIC + 0x03)
#define TPSR      (NIC + 0x04)
#define TBCR0     (NIC + 0x05)
#define ISR       (NIC + 0x07)
#define RSAR0     (NIC + 0x08)
#define RBCR0     (NIC + 0x0a)
#define RCR       (NIC + 0x0c)
#define TCR       (NIC + 0x0d)
#define DCR       (NIC + 0x0e)
#define IMR       (NIC + 0x0f)
/* Page 1. */
#define PAR0      (NIC + 0x01)
#define CURR      (NIC + 0x07)
#define MAR0      (NIC + 0x08)

#define DATA      (NIC + 0x10)
#define RESET     (NIC + 0x1f)

#define CR_STOP   0x21
#define CR_START  0x22
#define CR_SEND   0x26
#define CR_READ   0x0a
#define CR_WRITE  0x12
#define CR_PAGE_1 0x40
#define CR_TXP    0x04 /* sending */

#define ISR_RECEIVED  0x01
#define ISR_OVERFLOW  0x10
#define ISR_DMA_DONE  0x40
#define ISR_RESET     0x80
#define ISR_ALL       0x7f

#define DCR_WORDS     0x49 /* words, no loopback, FIFO of 8 bytes */
#define RCR_BROADCAST 0x04
#define TCR_LOOPBACK  0x02

#define SEND_PAGE  0x40
#define RING       0x46
#define RING_END   0x80
#define PAGE_BYTES 256u
#define PROM_BYTES 32

#define SHORTEST   60u   /* without the check sum */
#define HEADER     4u    /* before each frame in the ring: status, next page, size with the check sum */
#define CRC_BYTES  4u
#define MAX_POLLS  10000000u

static bool is_looked_for, is_there;
static uint8_t next_page; /* of the oldest frame that was not taken */
static uint8_t address[6];
static pv_interrupt_handler *wanted;
static void *wanted_context;

static void out16_at(uint16_t ioport, unsigned value)
{
    out8(ioport, (uint8_t)value);
    out8(ioport + 1, (uint8_t)(value >> 8));
}

static void begin_dma(uint8_t command, unsigned at, size_t size_bytes)
{
    out16_at(RSAR0, at);
    out16_at(RBCR0, (unsigned)size_bytes);
    out8(CR, command);
}

/* From the card's memory: an even number of bytes. */
static void read_card(unsigned at, void *to, size_t size_bytes)
{
    if (size_bytes == 0)
        return;
    begin_dma(CR_READ, at, size_bytes);
    in16s(DATA, to, size_bytes / 2);
}

static bool wait_for(uint16_t ioport, uint8_t mask, uint8_t wanted_value)
{
    for (uint32_t i = 0; i < MAX_POLLS; i++)
        if ((in8(ioport) & mask) == wanted_value)
            return true;
    return false;
}

/* The ring anew, with nothing in it; the card receives from here on. */
static void start_ring(void)
{
    out8(PSTART, RING);
    out8(PSTOP, RING_END);
    out8(BNRY, RING);
    next_page = RING + 1;
    out8(ISR, ISR_ALL);
    out8(IMR, wanted != NULL ? ISR_RECEIVED | ISR_OVERFLOW : 0);
    out8(CR, CR_STOP | CR_PAGE_1);
    for (int i = 0; i < 6; i++)
        out8((uint16_t)(PAR0 + i), address[i]);
    for (int i = 0; i < 8; i++)
        out8((uint16_t)(MAR0 + i), 0);
    out8(CURR, next_page);
    out8(CR, CR_START);
    out8(TCR, 0);
}

/* The data sheet's order: stopped, in loopback, then everything else. */
static void stop(void)
{
    out8(CR, CR_STOP);
    out8(DCR, DCR_WORDS);
    out16_at(RBCR0, 0);
    out8(RCR, RCR_BROADCAST);
    out8(TCR, TCR_LOOPBACK);
}

static bool find(void)
{
    uint16_t prom[PROM_BYTES / 2];
    if (is_looked_for)
        return is_there;
    is_looked_for = true;
    if (in8(CR) == 0xff)
        return false;
    out8(RESET, in8(RESET));
    if (!wait_for(ISR, ISR_RESET, ISR_RESET))
        return false;
    stop();
    out8(CR, CR_START);
    read_card(0, prom, PROM_BYTES);
    for (int i = 0; i < 6; i++)
        address[i] = (uint8_t)prom[i]; /* each byte stands there twice */
    stop();
    start_ring();
    is_there = true;
    return true;
}

int pv_net_mac(uint8_t mac[6])
{
    if (!find())
        return -PV_ENODEV;
    for (int i = 0; i < 6; i++)
        mac[i] = address[i];
    return 0;
}

int pv_net_send(const void *frame, size_t size_bytes)
{
    static const uint8_t zeros[SHORTEST];
    const uint8_t *bytes = frame;
    if (!find())
        return -PV_ENODEV;
    if (size_bytes < PV_FRAME_MIN || size_bytes > PV_FRAME_MAX)
        return -PV_EINVAL;
    if (!wait_for(CR, CR_TXP, 0))
        return -PV_EIO;
    size_t n = size_bytes < SHORTEST ? SHORTEST : size_bytes;
    out8(ISR, ISR_DMA_DONE);
    begin_dma(CR_WRITE, SEND_PAGE * PAGE_BYTES, (n + 1) & ~(size_t)1);
    out16s(DATA, bytes, size_bytes / 2);
    if (size_bytes % 2 == 1)
        out16(DATA, bytes[size_bytes - 1]);
    if (n > size_bytes)
        out16s(DATA, zeros, (n - size_bytes) / 2);
    if (!wait_for(ISR, ISR_DMA_DONE, ISR_DMA_DONE))
        return -PV_EIO;
    out8(TPSR, SEND_PAGE);
    out16_at(TBCR0, (unsigned)n);
    out8(CR, CR_SEND);
    return 0;
}

/* The page that the card will write next; what lies before it can be taken. */
static uint8_t current_page(void)
{
    out8(CR, CR_START | CR_PAGE_1);
    uint8_t page = in8(CURR);
    out8(CR, CR_START);
    return page;
}

/* Bytes of the ring from PAGE on, with its end joined to its beginning: a reading does not turn round by itself. */
static void read_ring(uint8_t page, unsigned offset, uint8_t *to, size_t size_bytes)
{
    unsigned at = page * PAGE_BYTES + offset;
    size_t until_end = RING_END * PAGE_BYTES - at;
    size_t first = size_bytes < until_end ? size_bytes : until_end;
    uint8_t odd[2];

    read_card(at, to, first & ~(size_t)1);
    if (first < size_bytes)
        read_card(RING * PAGE_BYTES, to + first, (size_bytes - first) & ~(size_t)1);
    if (size_bytes % 2 == 1) {
        unsigned last = at + (unsigned)size_bytes - 1;
        read_card(first < size_bytes ? last - (RING_END - RING) * PAGE_BYTES : last, odd, 2);
        to[size_bytes - 1] = odd[0];
    }
}

long pv_net_receive(void *frame, size_t size_bytes)
{
    uint8_t header[HEADER];
    if (!find())
        return -PV_ENODEV;
    if (in8(ISR) & ISR_OVERFLOW) { /* what is in the ring may be torn */
        stop();
        start_ring();
    }
    if (current_page() == next_page)
        return 0;
    read_card(next_page * PAGE_BYTES, header, HEADER);
    size_t n = header[2] | (size_t)header[3] << 8;
    if (n < PV_FRAME_MIN + CRC_BYTES || header[1] < RING || header[1] >= RING_END) { /* no header: begin anew */
        stop();
        start_ring();
        return 0;
    }
    n -= CRC_BYTES;
    size_t taken = n < size_bytes ? n : size_bytes;
    if (taken > 0)
        read_ring(next_page, HEADER, frame, taken);
    next_page = header[1];
    out8(BNRY, next_page == RING ? RING_END - 1 : next_page - 1);
    return (long)n;
}

static void on_interrupt(void *context, struct pv_trap_frame *frame)
{
    (void)context;
    out8(ISR, ISR_RECEIVED); /* before it is looked what has come: what comes later asks again */
    if (wanted != NULL)
        wanted(wanted_context, frame);
}

int pv_net_on_receive(pv_interrupt_handler *handler, void *context)
{
    if (!find())
        return -PV_ENODEV;
    bool were_enabled = pv_interrupts_disable();
    wanted = handler;
    wanted_context = context;
    pv_interrupt_set(PV_SOURCE_NET, handler != NULL ? on_interrupt : NULL, NULL);
    out8(IMR, 0);
    out8(ISR, ISR_RECEIVED); /* the line falls, so that the next frame makes it rise: the 8259 sees edges only */
    out8(IMR, handler != NULL ? ISR_RECEIVED | ISR_OVERFLOW : 0);
    pv_interrupts_restore(were_enabled);
    return 0;
}
