/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the DP8390D's data sheet says of the network card, and QEMU's card does not do. */
#include "ne2000.h"

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* Sends a packet of 68 bytes through loopback; the FIFO keeps its end and its length. */
static void loop_back(const char *name, uint8_t tcr, const uint8_t *destination, bool with_crc)
{
    uint8_t packet[68], fifo[8];
    for (unsigned i = 0; i < 64; i++)
        packet[i] = i < 6 ? destination[i] : i < 12 ? mac[i - 6] : (uint8_t)i;
    uint32_t crc = 0xffffffff;
    for (unsigned i = 0; i < 64; i++) {
        crc ^= packet[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    for (unsigned i = 0; i < 4; i++)
        packet[64 + i] = (uint8_t)(~crc >> 8 * i);
    put(ISR, 0xff);
    write_memory(SEND_PAGE << 8, packet, 68);
    put(DCR, 0x40); /* by bytes, LS for loopback */
    put(RCR, 0x04);
    put(TCR, tcr);
    put(TPSR, SEND_PAGE);
    put16(TBCR0, with_crc ? 68 : 64);
    put(CR, 0x26);
    show(name, (uint64_t)get(TSR) << 16 | (uint64_t)get(RSR) << 8 | (get(ISR) & ~RDC));
    for (unsigned i = 0; i < 8; i++)
        fifo[i] = get(FIFO);
    show_bytes("  FIFO", fifo, 8);
    show("  page", get_on_page(1, CURR));
    put(TCR, 0);
    put(DCR, 0x49);
}

static void overflow(void)
{
    start(0);
    put(PSTOP, RING + 8);
    for (uint8_t i = 0; i < 2; i++)
        ask(mac, 700, i); /* three pages each */
    show("room for two", wait_for(PRX));
    ask(mac, 700, 2);
    show("not for a third", wait_for(OVW));
    show("status", get(ISR) & ~(RDC | PTX));
    show("of the packet", get(RSR));
    show("missed", get(CNTR2));
    show("and cleared", get(CNTR2));
    show("page", get_on_page(1, CURR));
}

int main(void)
{
    get(RESET);
    show("command after a reset", get(CR));
    put(CR, 0x22);
    put(CR, 0x21);
    show("stopped", get(ISR));
    put(CR, 0x22);
    put(DCR, 0x49);
    read_memory(0x8000, buffer, 2);
    show_bytes("behind 16 KiB", buffer, 2);
    read_mac();
    start(0x15);
    show("receive configuration", get_on_page(2, RCR));
    show("data configuration", get_on_page(2, DCR));
    loop_back("loopback in the controller", 0x02, mac, false);
    loop_back("in the encoder", 0x04, mac, false);
    loop_back("on the cable", 0x06, mac, false);
    loop_back("a CRC of ours", 0x03, mac, true);
    loop_back("for all", 0x03, broadcast, true);
    mac[5] ^= 1;
    loop_back("for somebody else, and no CRC", 0x03, mac, false);
    mac[5] ^= 1;
    loop_back("for us, and no CRC", 0x03, mac, false);
    start(0x10);
    ask(broadcast, 100, 1);
    ask(mac, 100, 2);
    wait_for_pages(1);
    take("promiscuous is for physical addresses");
    put(RCR, 0x20);
    put(ISR, 0xff);
    ask(mac, 100, 3);
    show("monitor mode", wait_for(RXE));
    show("status", get(RSR));
    show("missed", get(CNTR2));
    put_on_page1(PAR0 + 5, 0x99);
    put(RCR, 0);
    ask(mac, 100, 4);
    mac[5] = 0x99;
    ask(mac, 100, 5);
    wait_for_pages(1);
    take("an address of its own");
    overflow();
    return 0;
}
