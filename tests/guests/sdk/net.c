/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The network by pv/net.h; at the other end of the cable is the station of tests/full/station.py. */
#include <pv/error.h>
#include <pv/net.h>
#include <pv/printf.h>
#include <pv/string.h>

static uint8_t mac[6], frame[PV_FRAME_MAX];
static volatile int n_calls;

static void came(void *context, struct pv_trap_frame *interrupted)
{
    (void)context, (void)interrupted;
    n_calls++;
}

/* Ask for a frame of so many bytes to this card, or to a stranger; its data count up from NUMBER. */
static int ask(unsigned size_bytes, uint8_t number, bool is_for_stranger)
{
    uint8_t request[PV_FRAME_MIN + 9] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    memcpy(request + 6, mac, 6);
    memcpy(request + 14, mac, 6);
    request[14 + 5] ^= is_for_stranger;
    request[12] = 0x88, request[13] = 0xb5;
    request[20] = (uint8_t)(size_bytes >> 8), request[21] = (uint8_t)size_bytes, request[22] = number;
    return pv_net_send(request, sizeof request);
}

static long wait_for_frame(size_t size_bytes)
{
    long n;
    memset(frame, 0, sizeof frame);
    do {
        n = pv_net_receive(frame, size_bytes);
    } while (n == 0);
    return n;
}

static bool counts_up(unsigned size_bytes, uint8_t number)
{
    for (unsigned i = PV_FRAME_MIN; i < size_bytes; i++)
        if (frame[i] != (uint8_t)(number + i - PV_FRAME_MIN))
            return false;
    return memcmp(frame, mac, 6) == 0;
}

int main(void)
{
    if (pv_net_mac(mac) != 0) {
        pv_printf("without a card: %d %d %ld %d\n", pv_net_mac(mac), pv_net_send(frame, 13),
                  pv_net_receive(frame, 60), pv_net_on_receive(came, NULL));
        return 0;
    }
    pv_printf("address: %02x:%02x:%02x:%02x:%02x:%02x\n", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
    pv_printf("no frames: %d %d\n", pv_net_send(frame, 13), pv_net_send(frame, 1515));
    pv_printf("nothing there: %ld\n", pv_net_receive(frame, sizeof frame));
    static const unsigned sizes[] = {60, 61, 64, 255, 256, 999, 1513, 1514};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        ask(sizes[i], (uint8_t)i, false);
        long size = wait_for_frame(sizeof frame);
        pv_printf("asked for %u: %ld, right %d\n", sizes[i], size, counts_up(sizes[i], (uint8_t)i));
    }
    bool right = true;
    for (unsigned i = 0; i < 60; i++) { /* several times round the ring */
        ask(1000 + i, (uint8_t)i, false);
        right = right && wait_for_frame(sizeof frame) == 1000 + i && counts_up(1000 + i, (uint8_t)i);
    }
    pv_printf("round and round: %d\n", right);
    ask(500, 7, true);
    ask(100, 8, false);
    pv_printf("a stranger's is not seen: %ld\n", wait_for_frame(sizeof frame));
    ask(1000, 9, false);
    long n = wait_for_frame(101);
    pv_printf("cut: %ld, right %d, untouched %d\n", n, counts_up(101, 9), frame[101]);
    for (uint8_t i = 0; i < 3; i++)
        ask(200, i, false);
    for (uint8_t i = 0; i < 3; i++) {
        n = wait_for_frame(sizeof frame);
        pv_printf("in order: %ld, %d\n", n, counts_up(200, i));
    }

    pv_printf("by interrupt: %d\n", pv_net_on_receive(came, NULL));
    ask(300, 1, false);
    while (n_calls == 0)
        pv_interrupts_wait();
    n = pv_net_receive(frame, sizeof frame);
    pv_printf("came: %ld, %d\n", n, counts_up(300, 1));
    pv_printf("nobody again: %d\n", pv_net_on_receive(NULL, NULL));
    return 0;
}
