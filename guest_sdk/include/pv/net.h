/* SPDX-License-Identifier: MIT */
/*
 * The network card: Ethernet frames of 14 to 1514 bytes, from the destination address on, without the check sum. Full:
 * an NE2000. Para and hybrid: the net ring. Frames can be lost, as on any network.
 *
 * The first function that is called looks for the card, and blocks until it has been found.
 * Not from an interrupt handler unless interrupts are disabled around all other calls; the handler of pv_net_on_receive
 * may call pv_net_receive and pv_net_send if nobody else does.
 */
#ifndef PV_NET_H
#define PV_NET_H

#include <stddef.h>
#include <stdint.h>

#include <pv/interrupt.h>

#define PV_FRAME_MIN 14u
#define PV_FRAME_MAX 1514u

/* Store the card's own Ethernet address. Returns 0; -PV_ENODEV: there is no card. */
int pv_net_mac(uint8_t mac[6]);

/*
 * Send a frame of SIZE_BYTES; one of less than 60 is filled up with zeros to as many. Blocks until the card has taken
 * it: FRAME can be used again then, and whether the frame arrives nobody knows. Returns 0; -PV_ENODEV: there is no
 * card; -PV_EINVAL: SIZE_BYTES is no frame's; -PV_EIO: the card does not send.
 */
int pv_net_send(const void *frame, size_t size_bytes);

/*
 * Take the oldest frame that has come for this address or for all, as much of it as SIZE_BYTES hold. Never blocks.
 * Returns the frame's whole size, which may be larger; 0: there is none now; -PV_ENODEV: there is no card.
 */
long pv_net_receive(void *frame, size_t size_bytes);

/*
 * Call HANDLER with CONTEXT by interrupt after frames have come; NULL: nobody again. One call may stand for several
 * frames: take frames with pv_net_receive until there is none, or there may be no other call. For those that have come
 * before there is none: take them after this function, likewise. Never waits, once the card has been found. Returns 0;
 * -PV_ENODEV: there is no card.
 */
int pv_net_on_receive(pv_interrupt_handler *handler, void *context);

#endif /* PV_NET_H */
