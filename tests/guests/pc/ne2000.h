/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An NE2000 at 0x300, polled, and the frames by which it talks to the station of tests/full/station.py. */
#ifndef TEST_NE2000_H
#define TEST_NE2000_H
#include "pc.h"

enum { NIC = 0x300, CR = 0, DATA_PORT = 0x10, RESET = 0x1f };
enum { PSTART = 1, PSTOP, BNRY, TPSR, TBCR0, TBCR1, ISR, RSAR0, RSAR1, RBCR0, RBCR1, RCR, TCR, DCR, IMR };
enum { TSR = 4, FIFO = 6, RSR = 12, CNTR2 = 15 };
enum { PAR0 = 1, CURR = 7, MAR0 = 8 }; /* page 1 */
enum { PRX = 1, PTX = 2, RXE = 4, OVW = 16, RDC = 64, RST = 128 };
enum { SEND_PAGE = 0x40, RING = 0x46, RING_END = 0x60 };

static uint8_t mac[6], buffer[2048];

static uint8_t get(unsigned at)
{
    return inb((uint16_t)(NIC + at));
}

static void put(unsigned at, uint8_t value)
{
    outb((uint16_t)(NIC + at), value);
}

static void put16(unsigned at, unsigned value)
{
    put(at, (uint8_t)value);
    put(at + 1, (uint8_t)(value >> 8));
}

static uint8_t get_on_page(unsigned page, unsigned at)
{
    put(CR, (uint8_t)(page << 6 | 0x22));
    uint8_t value = get(at);
    put(CR, 0x22);
    return value;
}

static void put_on_page1(unsigned at, uint8_t value)
{
    put(CR, 0x62);
    put(at, value);
    put(CR, 0x22);
}

static void remote(uint8_t command, unsigned address, unsigned size_bytes)
{
    put16(RSAR0, address);
    put16(RBCR0, size_bytes);
    put(CR, command);
}

/* By words, as DCR 0x49 has it; the size is even. */
static inline void read_memory(unsigned address, void *to, unsigned size_bytes)
{
    word n = size_bytes / 2;
    remote(0x0a, address, size_bytes);
    __asm__ volatile("rep insw" : "+D"(to), "+c"(n) : "d"(NIC + DATA_PORT) : "memory");
}

static inline void write_memory(unsigned address, const void *from, unsigned size_bytes)
{
    word n = size_bytes / 2;
    remote(0x12, address, size_bytes);
    __asm__ volatile("rep outsw" : "+S"(from), "+c"(n) : "d"(NIC + DATA_PORT) : "memory");
}

static inline void show_bytes(const char *name, const uint8_t *bytes, unsigned n)
{
    print(name);
    print(":");
    for (unsigned i = 0; i < n; i++) {
        print(" ");
        print((char[]){"0123456789abcdef"[bytes[i] >> 4], "0123456789abcdef"[bytes[i] & 15], 0});
    }
    print("\n");
}

/* What the data sheet's section 11 asks for, with DCR for words and no loopback. */
static inline void start(uint8_t rcr)
{
    put(CR, 0x21);
    put(DCR, 0x49);
    put16(RBCR0, 0);
    put(RCR, rcr);
    put(TCR, 0x02);
    put(PSTART, RING);
    put(PSTOP, RING_END);
    put(BNRY, RING);
    put(ISR, 0xff);
    put(IMR, 0);
    put(CR, 0x61);
    for (unsigned i = 0; i < 6; i++)
        put(PAR0 + i, mac[i]);
    for (unsigned i = 0; i < 8; i++)
        put(MAR0 + i, 0);
    put(CURR, RING + 1);
    put(CR, 0x22);
    put(TCR, 0);
}

static inline void transmit(const uint8_t *frame, unsigned size_bytes)
{
    write_memory(SEND_PAGE << 8, frame, (size_bytes + 1) & ~1u);
    put(TPSR, SEND_PAGE);
    put16(TBCR0, size_bytes);
    put(CR, 0x26);
}

/* Asks the station for a frame of so many bytes to this address; its contents begin with the number. */
static inline void ask(const uint8_t *destination, unsigned size_bytes, uint8_t number)
{
    uint8_t frame[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    for (unsigned i = 0; i < 6; i++) {
        frame[6 + i] = mac[i];
        frame[14 + i] = destination[i];
    }
    frame[12] = 0x88;
    frame[13] = 0xb5;
    frame[20] = (uint8_t)(size_bytes >> 8);
    frame[21] = (uint8_t)size_bytes;
    frame[22] = number;
    transmit(frame, 60);
}

/* Waits until these bits are set in ISR, and clears them. */
static inline bool wait_for(uint8_t bits)
{
    for (unsigned i = 0; i < 3000000; i++)
        if ((get(ISR) & bits) == bits) {
            put(ISR, bits);
            return true;
        }
    return false;
}

static inline uint8_t page_after(uint8_t page, unsigned n)
{
    return (uint8_t)(page + n >= RING_END ? page + n - RING_END + RING : page + n);
}

/* BNRY is kept one page behind the oldest packet, as most drivers do. */
static inline uint8_t oldest_page(void)
{
    return page_after(get(BNRY), 1);
}

/* Waits until so many pages of packets are in the ring. */
static inline bool wait_for_pages(unsigned n)
{
    uint8_t end = page_after(oldest_page(), n);
    for (unsigned i = 0; i < 1000000; i++)
        if (get_on_page(1, CURR) == end)
            return true;
    return false;
}

/* Takes the oldest packet out of the ring into `buffer`, header and all, and shows what it is. */
static inline void take(const char *name)
{
    uint8_t page = oldest_page();
    read_memory(page << 8, buffer, 4);
    unsigned size_bytes = buffer[2] | buffer[3] << 8, sum = 0; /* the CRC included, the header not */
    read_memory(page << 8, buffer, size_bytes & 0x7fe);
    for (unsigned i = 18; i < (size_bytes & 0x7fe); i++)
        sum += buffer[i] * (i + 1);
    show_bytes(name, buffer, 4);
    show_bytes("  to", buffer + 4, 6);
    show("  number", buffer[18]);
    show("  sum", sum);
    put(BNRY, (uint8_t)(buffer[1] == RING ? RING_END - 1 : buffer[1] - 1));
}

static inline void read_mac(void)
{
    uint8_t prom[32];
    read_memory(0, prom, 32);
    for (unsigned i = 0; i < 6; i++)
        mac[i] = prom[2 * i];
}
#endif
