# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's Ethernet switch: one frame in, the right ports out, in virtual time. Both wings plug into it.

It learns which address sits at which port, as IEEE 802.1D has it, and floods what it cannot place. A frame
that a port sends at the virtual time t reaches the others at t + LATENCY_NS, each by the timers of its own
domain. So a run repeats; and where domains take turns no longer than LATENCY_NS, a frame's arrival does not
even depend on whose turn comes first: what one sends in its turn is due only after the others have had
theirs. A domain that has gone further gets the frame as its next event.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pvisor.machine.clock import NS_PER_S
from pvisor.machine.timers import Timers

MIN_FRAME_BYTES = 14
"""Two addresses and a type. No frame here has a frame check sequence: nothing is damaged on the way."""
MAX_FRAME_BYTES = 1514
"""The same with 1500 bytes of data."""
PADDED_FRAME_BYTES = 60
"""A wire has no shorter frame: the sender's device pads to this, the switch does not insist."""
LATENCY_NS = 10_000
AGEING_NS = 300 * NS_PER_S
"""An address that has sent nothing for so long is forgotten (802.1D's default)."""
MAX_ADDRESSES = 1024
"""Addresses that are remembered; then the one that has been silent longest makes room."""
MAX_IN_FLIGHT = 256
"""Frames on their way to one port; those beyond are lost, and counted."""

Receive = Callable[[bytes], object]
"""Takes a frame."""
OnFrame = Callable[[int, bytes], object]
"""Sees each frame that the switch takes, once: its virtual time in nanoseconds, and its bytes."""


def default_mac(index: int) -> bytes:
    """The address of a machine's card, counted from 0: 52:54:00:12:34:56 and up, as QEMU gives them."""
    return bytes((0x52, 0x54, 0x00)) + (0x123456 + index & 0xFF_FFFF).to_bytes(3, "big")


class Port:
    """One socket of the switch, with what went through it. Made by `Switch.attach`."""

    def __init__(self, timers: Timers, receive: Receive, forward: Callable[[Port, bytes], object]) -> None:
        self.timers = timers
        self._receive = receive
        self._forward = forward
        self._n_in_flight = 0
        self.is_attached = True
        self.n_sent = 0
        self.n_refused = 0
        """Sent, and not taken: too short or too long for a frame, or more than the switch can put aside."""
        self.n_received = 0
        self.n_lost = 0
        """For this port, but too many were on their way already."""

    def send(self, frame: bytes) -> None:
        """Give a frame to the switch. It goes out now, and arrives later."""
        self._forward(self, frame)

    def deliver(self, due_ns: int, frame: bytes) -> None:
        """Let a frame arrive here at a virtual time."""
        if self._n_in_flight == MAX_IN_FLIGHT:
            self.n_lost += 1
            return
        self._n_in_flight += 1
        self.timers.at(due_ns, partial(self._arrive, frame))

    def _arrive(self, frame: bytes) -> None:
        self._n_in_flight -= 1
        if self.is_attached:
            self.n_received += 1
            self._receive(frame)


class Switch:
    """A learning switch. `on_frame` watches the traffic."""

    def __init__(self, on_frame: OnFrame = lambda virtual_ns, frame: None) -> None:
        self._on_frame = on_frame
        self._ports: list[Port] = []
        self._addresses: dict[bytes, tuple[Port, int]] = {}
        """Where an address was seen last, and when; the longest silent first."""

    def attach(self, timers: Timers, receive: Receive) -> Port:
        """Plug a device in. `receive` is given frames when the timers of the device's domain say so."""
        port = Port(timers, receive, self._take)
        self._ports.append(port)
        return port

    def detach(self, port: Port) -> None:
        """Pull a plug: its addresses are forgotten, and what is on its way there is lost."""
        port.is_attached = False
        self._ports = [other for other in self._ports if other is not port]
        self._addresses = {a: seen for a, seen in self._addresses.items() if seen[0] is not port}

    def detach_machine(self, timers: Timers) -> None:
        """Pull every plug of the domain whose timers these are."""
        for port in [port for port in self._ports if port.timers is timers]:
            self.detach(port)

    def _take(self, sender: Port, frame: bytes) -> None:
        if self.is_taken(sender, frame):
            self.forward(sender, frame, sender.timers.now())
        else:
            sender.n_refused += 1

    def is_taken(self, sender: Port, frame: bytes) -> bool:
        """Is it a frame, of a device that is plugged in?"""
        return sender.is_attached and MIN_FRAME_BYTES <= len(frame) <= MAX_FRAME_BYTES

    def forward(self, sender: Port, frame: bytes, now_ns: int, earliest_ns: int = 0) -> None:
        """Let a frame of virtual time `now_ns` arrive where it belongs, not before `earliest_ns`."""
        sender.n_sent += 1
        self._on_frame(now_ns, frame)
        if sender.is_attached:
            self._learn(frame[6:12], sender, now_ns)
        receiver = self._port_of(frame[:6], now_ns)
        for port in self._ports if receiver is None else (receiver,):
            if port is not sender:
                port.deliver(max(now_ns + LATENCY_NS, earliest_ns), frame)

    def _learn(self, address: bytes, port: Port, now_ns: int) -> None:
        if address[0] & 1:
            return  # a group sends nothing
        if self._addresses.pop(address, None) is None and len(self._addresses) == MAX_ADDRESSES:
            del self._addresses[next(iter(self._addresses))]
        self._addresses[address] = port, now_ns

    def _port_of(self, address: bytes, now_ns: int) -> Port | None:
        """Where an address is, or None: a group's, or one that is not known (any more)."""
        port, seen_ns = self._addresses.get(address, (None, 0))
        if port is not None and now_ns - seen_ns > AGEING_NS:
            del self._addresses[address]
            return None
        return port
