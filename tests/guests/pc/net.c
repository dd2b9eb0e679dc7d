/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The network card: PROM, remote DMA, frames out and in, the filter, the ring. A station answers it. */
#include "ne2000.h"

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t group[6] = {0x01, 0x00, 0x5e, 0x00, 0x00, 0x01};
static const uint8_t stranger[6] = {0x02, 0, 0, 0, 0, 0x77};

static void memory(void)
{
    put(DCR, 0x48);
    remote(0x0a, 0, 32);
    for (unsigned i = 0; i < 32; i++)
        buffer[i] = get(DATA_PORT);
    show_bytes("PROM", buffer, 12);
    show_bytes("its end", buffer + 28, 4);
    show("done", get(ISR) & RDC);
    put(ISR, RDC);
    put(DCR, 0x49);
    read_memory(0, buffer, 32);
    show_bytes("by words", buffer, 12);
    put(ISR, 0xff);
    for (unsigned i = 0; i < 64; i++)
        buffer[i] = (uint8_t)(i * 5 + 1);
    write_memory(0x4010, buffer, 62);
    show("62 bytes written", get(ISR));
    put(ISR, 0xff);
    remote(0x0a, 0x4010, 62);
    uint32_t wide;
    __asm__ volatile("inl %1, %0" : "=a"(wide) : "d"((uint16_t)(NIC + DATA_PORT)));
    show("the first four", wide);
    show("one of a word", get(DATA_PORT));
    show("current address", (uint64_t)get(RSAR0) | (uint64_t)get(RSAR1) << 8);
    show("not done", get(ISR));
    put(CR, 0x22);
    show("aborted", get(ISR));
    read_memory(0x4010 + 56, buffer, 8);
    show_bytes("its end, and behind it", buffer, 8);
    read_memory(0x1000, buffer, 4);
    show_bytes("where nothing is", buffer, 4);
    put(ISR, 0xff);
    remote(0x0a, 0x4010, 0);
    show("no bytes", get(ISR));
}

static void sending(void)
{
    uint8_t *frame = buffer;
    for (unsigned i = 0; i < 1514; i++)
        frame[i] = (uint8_t)(i < 6 ? 0xff : i < 12 ? mac[i - 6] : i * 3);
    frame[12] = 0x90; /* the station is silent about these */
    frame[13] = 0x00;
    put(ISR, 0xff);
    transmit(frame, 60);
    show("sent", wait_for(PTX));
    show("status", get(TSR));
    show("command", get(CR));
    transmit(frame, 61);
    transmit(frame, 1514);
    show("more sent", wait_for(PTX));
}

/* Asks for a frame that may be filtered out, then for one that must come, and shows what is in the ring. */
static void filter(const char *name, uint8_t rcr, const uint8_t *destination)
{
    put(RCR, rcr);
    put(ISR, 0xff);
    ask(destination, 100, 1);
    ask(mac, 100, 2);
    show(name, wait_for(PRX));
    do {
        for (unsigned i = 0; i < 1000000 && get_on_page(1, CURR) == oldest_page(); i++)
            ;
        take(" received");
    } while (buffer[18] == 1);
}

static void receiving(void)
{
    filter("stranger, with no bit", 0, stranger);
    filter("stranger, promiscuous", 0x10, stranger);
    filter("broadcast, with no bit", 0, broadcast);
    filter("broadcast, wanted", 0x04, broadcast);
    filter("group, with no bit", 0, group);
    filter("group, no hash", 0x08, group);
    put_on_page1(MAR0 + 3, 0x80); /* bit 31 is 01:00:5e:00:00:01's */
    filter("group, its hash", 0x08, group);
    put_on_page1(MAR0 + 3, 0x7f);
    filter("group, the others'", 0x08, group);
}

static void ring(void)
{
    put(RCR, 0);
    put(ISR, 0xff);
    for (uint8_t i = 0; i < 40; i++) {
        ask(mac, 60 + i * 37, i);
        if (!wait_for(PRX))
            print("nothing came\n");
        take("around the ring");
    }
    show("page", get_on_page(1, CURR));
    for (uint8_t i = 0; i < 3; i++)
        ask(mac, 250, (uint8_t)(0x80 + i));
    show("two pages each", wait_for_pages(6));
    for (unsigned i = 0; i < 3; i++)
        take("three at once");
    show("all taken", get_on_page(1, CURR) == oldest_page());
}

int main(void)
{
    show("reset", get(RESET));
    show("interrupt status", get(ISR));
    put(CR, 0x21);
    put(ISR, 0x7f);
    show("reset cannot be written away", get(ISR));
    put(CR, 0x22);
    show("started", get(ISR));
    memory();
    read_mac();
    start(0);
    show("ring", (uint64_t)get_on_page(2, PSTART) | (uint64_t)get_on_page(2, PSTOP) << 8);
    show("boundary", get(BNRY));
    show("current page", get_on_page(1, CURR));
    show("identity", (uint64_t)get(10) | (uint64_t)get(11) << 8);
    sending();
    receiving();
    ring();
    put(CR, 0x21);
    return 0;
}
