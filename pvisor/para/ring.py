# SPDX-License-Identifier: GPL-2.0-or-later
"""A backend's end of a ring (abi/areas/rings.py has the layout). No twin: a PC's devices have registers.

The page belongs to a guest that may write anything at any time. So each request is copied once; the backend's
own indices are kept here and never read back; and of the guest's one index only the distance is looked at.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pvisor.abi.areas import rings
from pvisor.abi.layout import offsetof, sizeof

_HEADER_BYTES = rings.HEADER_BYTES.number
_REQUEST_PRODUCER, _REQUEST_EVENT, _RESPONSE_PRODUCER, _RESPONSE_EVENT = (
    offsetof("pv_ring_header", name) // 4
    for name in ("request_producer", "request_event", "response_producer", "response_event")
)
_U32_MAX = 0xFFFF_FFFF
_RESPONSE = struct.Struct("<IIII")
RESPONSE_BYTES = sizeof("pv_ring_response")


class RingBrokenError(Exception):
    """The frontend's index lies: it claims more requests than there can be, or takes some back."""


@dataclass(frozen=True, slots=True)
class RingKind:
    """The sizes of a ring's parts: slots (a power of two), and bytes of a request."""

    n_slots: int
    request_bytes: int


BLOCK_RING = RingKind(rings.BLOCK_SLOTS.number, sizeof("pv_block_request"))
BUFFER_RING = RingKind(rings.BUFFER_SLOTS.number, sizeof("pv_buffer_request"))


class BackRing:
    """One ring in a granted page. It begins at index 0, as the frontend does."""

    def __init__(self, page: memoryview, kind: RingKind) -> None:
        self._bytes = page
        self._words = page.cast("I")
        self._kind = kind
        self._responses = _HEADER_BYTES + kind.n_slots * kind.request_bytes
        self._taken = 0
        self._put = 0
        self._shown = 0

    @property
    def n_open(self) -> int:
        """Requests that were taken and have no response yet."""
        return self._taken - self._put & _U32_MAX

    def take(self) -> bytes | None:
        """A copy of the next request, or None. Raises RingBrokenError."""
        producer = self._words[_REQUEST_PRODUCER]
        if producer == self._taken:
            return None
        if producer - self._taken & _U32_MAX > self._kind.n_slots - self.n_open:
            raise RingBrokenError
        n_bytes = self._kind.request_bytes
        at = _HEADER_BYTES + self._taken % self._kind.n_slots * n_bytes
        self._taken = self._taken + 1 & _U32_MAX
        return bytes(self._bytes[at : at + n_bytes])

    def requests(self) -> Iterator[bytes]:
        """Requests until there is none, and then the guest is asked for a signal at the next.

        No more than a ring holds at a time: a guest that adds to it meanwhile does not keep the host for
        ever.
        """
        for _ in range(self._kind.n_slots):
            data = self.take()
            if data is None:
                if not self.rest():
                    return
            else:
                yield data
        self.rest()

    def put(self, request_id: int, status: int, n_bytes: int = 0) -> None:
        """A response to a request that was taken; `push` shows it. `status`: 0 or an error's number."""
        at = self._responses + self._put % self._kind.n_slots * RESPONSE_BYTES
        _RESPONSE.pack_into(self._bytes, at, request_id, status, n_bytes, 0)
        self._put = self._put + 1 & _U32_MAX

    def push(self) -> bool:
        """Show the responses so far. True: the frontend wants a signal for one of them."""
        before, self._shown = self._shown, self._put
        self._words[_RESPONSE_PRODUCER] = self._put
        event = self._words[_RESPONSE_EVENT]
        return self._put - event & _U32_MAX < self._put - before & _U32_MAX

    def rest(self) -> bool:
        """Ask for a signal at the next request. True: one has come already, and there may be no signal."""
        self._words[_REQUEST_EVENT] = self._taken + 1 & _U32_MAX
        return self._words[_REQUEST_PRODUCER] != self._taken

    def close(self) -> None:
        """Let go of the page."""
        self._words.release()
