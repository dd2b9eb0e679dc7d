/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two of these talk over a network. Command line: "ask N" sends N questions and says what came back and when, and asks
 * again when nobody answers; "answer N" sends back N frames. The addresses are the cards' own.
 */
#include <pv/console.h>
#include <pv/cpu.h>
#include <pv/net.h>
#include <pv/printf.h>
#include <pv/start.h>
#include <pv/string.h>

#define FRAME_BYTES 64

static uint8_t frame[1514];

static void turn_round(const uint8_t own[6])
{
    memcpy(frame, frame + 6, 6);
    memcpy(frame + 6, own, 6);
}

#define PATIENCE_NS 5000000

/* Until a frame has come, or for so long. */
static bool await(uint64_t patience_ns)
{
    uint64_t begin_ns = pv_time_ns();
    while (pv_net_receive(frame, sizeof frame) <= 0) {
        if (pv_time_ns() - begin_ns > patience_ns)
            return false;
        pv_cpu_yield();
    }
    return true;
}

static void ask(const uint8_t own[6], uint8_t number)
{
    do {
        memset(frame, 0xff, 6);
        memcpy(frame + 6, own, 6);
        frame[12] = 0x88, frame[13] = 0xb5; /* a type for experiments (IEEE 802) */
        frame[14] = number;
        pv_net_send(frame, FRAME_BYTES);
    } while (!await(PATIENCE_NS) || frame[14] != number);
}

int main(void)
{
    const char *words = pv_cmdline();
    bool asks = words[1] == 's';
    unsigned n = 0;
    for (const char *at = words + (asks ? 4 : 7); *at >= '0' && *at <= '9'; at++)
        n = n * 10 + (unsigned)(*at - '0');
    uint8_t own[6];
    if (pv_net_mac(own) != 0)
        return 1;
    for (unsigned i = 0; i < n; i++) {
        if (asks) {
            uint64_t asked_ns = pv_time_ns();
            ask(own, (uint8_t)i);
            pv_printf("%u: answer %u after %lu ns\n", i, frame[14], (unsigned long)(pv_time_ns() - asked_ns));
        } else {
            await(UINT64_MAX);
            turn_round(own);
            pv_net_send(frame, FRAME_BYTES);
        }
    }
    return 0;
}
