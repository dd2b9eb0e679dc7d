# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests for buffers: what the rings of net, console and entropy devices hold.

They have no twin: a PC's device has memory of its own, or asks for the CPU's hands.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pvisor.abi.areas import rings
from pvisor.machine.memory import PAGE_BYTES
from pvisor.para.backend import E2BIG, Backend
from pvisor.para.refusal import GuestError
from pvisor.para.ring import BUFFER_RING, BackRing

WRITE, READ = rings.BUFFER_WRITE.number, rings.BUFFER_READ.number
_REQUEST = struct.Struct("<IIIHH")


@dataclass(frozen=True, slots=True)
class Buffer:
    """A request for a buffer, as it was copied."""

    id: int
    op: int
    gref: int
    offset: int
    n_bytes: int

    @classmethod
    def parse(cls, data: bytes) -> Buffer:
        """From a ring's slot."""
        return cls(*_REQUEST.unpack(data))

    @property
    def is_sound(self) -> bool:
        """Does it lie in its page?"""
        return self.n_bytes > 0 and self.offset + self.n_bytes <= PAGE_BYTES


class BufferBackend(Backend):
    """A device whose requests are buffers: what net, console and entropy have in common."""

    ring_kind = BUFFER_RING

    def fetch(self, buffer: Buffer) -> bytes:
        """What a buffer holds. Raises GuestError."""
        with self.page(buffer.gref, writable=False) as page:
            return bytes(page[buffer.offset : buffer.offset + buffer.n_bytes])

    def store(self, buffer: Buffer, data: bytes) -> None:
        """Fill a buffer, which is large enough. Raises GuestError."""
        with self.page(buffer.gref, writable=True) as page:
            page[buffer.offset : buffer.offset + len(data)] = data

    def answer(self, ring: BackRing, buffer: Buffer, data: bytes) -> None:
        """Fill a buffer as far as it goes, and respond: E2BIG with the whole size if it is too small."""
        try:
            self.store(buffer, data[: buffer.n_bytes])
        except GuestError as error:
            ring.put(buffer.id, -error.result)
        else:
            ring.put(buffer.id, E2BIG if len(data) > buffer.n_bytes else 0, len(data))
