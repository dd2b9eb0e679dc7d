# SPDX-License-Identifier: GPL-2.0-or-later
"""The network device: a ring to send, a ring to receive. Twin of full/net.py, an NE2000.

The guest puts empty buffers into the receive ring, and each frame that comes fills one. Frames that come for
this address or for a group are given to the guest; without a buffer they are lost, as on any card.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from pvisor.domain.domain import Domain
from pvisor.machine.switch import MAX_FRAME_BYTES, MIN_FRAME_BYTES, PADDED_FRAME_BYTES, Receive
from pvisor.para.backend import EINVAL, Host
from pvisor.para.buffers import READ, WRITE, Buffer, BufferBackend
from pvisor.para.refusal import GuestError
from pvisor.para.ring import BUFFER_RING, BackRing

Plug = Callable[[Receive], Callable[[bytes], object]]
"""Puts the cable in: is told who receives, and returns what sends."""


class Net(BufferBackend):
    """One network device, with the address `mac`."""

    ring_names = ("send-ring", "receive-ring")

    def __init__(self, host: Host, domain: Domain, mac: bytes, plug: Plug, index: int = 0) -> None:
        super().__init__(host, domain, f"net/{index}")
        self._mac = mac
        self._send = plug(self.receive)
        self._empty: deque[Buffer] = deque()
        self.n_lost = 0
        """Frames for this device that found no buffer."""

    def facts(self) -> dict[str, str]:
        """The address."""
        return {"mac": self._mac.hex(":")}

    def parted(self) -> None:
        """The buffers are the guest's again."""
        self._empty.clear()

    def serve(self) -> None:
        """Send what is to be sent, and take the empty buffers."""
        send, receive = self.rings
        for data in send.requests():
            self._send_one(send, Buffer.parse(data))
        self._take_empty(receive)
        self.finish(send)
        self.finish(receive)

    def _send_one(self, ring: BackRing, buffer: Buffer) -> None:
        if (
            not buffer.is_sound
            or buffer.op != WRITE
            or not (MIN_FRAME_BYTES <= buffer.n_bytes <= MAX_FRAME_BYTES)
        ):
            ring.put(buffer.id, EINVAL)
            return
        try:
            frame = self.fetch(buffer)
        except GuestError as error:
            ring.put(buffer.id, -error.result)
            return
        ring.put(buffer.id, 0, buffer.n_bytes)
        self._send(frame.ljust(PADDED_FRAME_BYTES, b"\0"))

    def _take_empty(self, ring: BackRing) -> None:
        """Without asking for a signal at the next one: they are looked for when a frame comes."""
        for _ in range(BUFFER_RING.n_slots):
            data = ring.take()
            if data is None:
                break
            buffer = Buffer.parse(data)
            if buffer.is_sound and buffer.op == READ:
                self._empty.append(buffer)
            else:
                ring.put(buffer.id, EINVAL)

    def receive(self, frame: bytes) -> None:
        """A frame has come."""
        is_for_group = frame[0] & 1
        if not is_for_group and frame[:6] != self._mac:
            return
        if not self.is_connected:
            self.n_lost += 1
            return
        self.attempt(lambda: self._receive(frame))

    def _receive(self, frame: bytes) -> None:
        ring = self.rings[1]
        if not self._empty:
            self._take_empty(ring)
        if self._empty:
            self.answer(ring, self._empty.popleft(), frame)
        else:
            self.n_lost += 1
        self.finish(ring)
