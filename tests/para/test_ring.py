# SPDX-License-Identifier: GPL-2.0-or-later
"""The backend's end of a ring: order, wrapping indices, when to signal, and frontends that lie."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvisor.abi.areas import rings
from pvisor.abi.layout import sizeof
from pvisor.machine.memory import PAGE_BYTES, GuestMemory
from pvisor.para.ring import BLOCK_RING, BUFFER_RING, RESPONSE_BYTES, BackRing, RingBrokenError, RingKind
from tests.para.ring_rig import U32, FrontRing

SLOTS = BUFFER_RING.n_slots


def pair(kind: RingKind = BUFFER_RING, start: int = 0) -> tuple[FrontRing, BackRing]:
    """Both ends, as if `start` requests had been served already."""
    memory = GuestMemory(1 << 20)
    front = FrontRing(memory, 0x1000, kind)
    back = BackRing(memory.view(0x1000, PAGE_BYTES), kind)
    front.produced = front.consumed = start
    back._taken = back._put = back._shown = start & U32
    front.set("request_producer", start)
    front.set("response_producer", start)
    front.set("request_event", start + 1)
    front.set("response_event", start + 1)
    return front, back


def request(number: int) -> bytes:
    return number.to_bytes(4, "little").ljust(BUFFER_RING.request_bytes, b"\0")


@pytest.mark.parametrize("kind", [BLOCK_RING, BUFFER_RING])
def test_a_ring_fits_into_its_page(kind: RingKind) -> None:
    assert rings.HEADER_BYTES.number == sizeof("pv_ring_header")
    assert kind.n_slots & kind.n_slots - 1 == 0
    assert sizeof("pv_ring_header") + kind.n_slots * (kind.request_bytes + RESPONSE_BYTES) <= PAGE_BYTES
    assert kind.request_bytes % 8 == 0


@pytest.mark.parametrize("start", [0, 1, SLOTS - 1, U32, U32 - 5, 1 << 31])
def test_requests_and_responses_keep_their_order(start: int) -> None:
    front, back = pair(start=start)
    for round in range(3):
        for i in range(SLOTS):
            front.request(request(100 * round + i))
        taken = [int.from_bytes(data[:4], "little") for data in back.requests()]
        assert taken == [100 * round + i for i in range(SLOTS)]
        assert back.n_open == SLOTS
        for number in reversed(taken):
            back.put(number, 0, number)
        assert back.push()
        assert [found[0] for found in front.responses()] == taken[::-1]
        assert back.n_open == 0


def test_a_request_is_copied() -> None:
    front, back = pair()
    front.request(request(1))
    data = back.take()
    front.memory.write(0x1000 + 64, request(2))
    assert data == request(1)


@pytest.mark.parametrize("lie", [SLOTS + 1, 1 << 31, U32])
@pytest.mark.parametrize("start", [0, 77, U32])
def test_an_index_that_lies(lie: int, start: int) -> None:
    front, back = pair(start=start)
    front.set("request_producer", start + lie)
    with pytest.raises(RingBrokenError):
        list(back.requests())


def test_more_than_a_ring_holds_is_a_lie_though_some_were_taken() -> None:
    front, back = pair()
    for i in range(SLOTS):
        front.request(request(i))
    assert len(list(back.requests())) == SLOTS
    front.request(request(9))
    with pytest.raises(RingBrokenError):
        back.take()
    back.put(0, 0)
    assert back.take() == request(9)


@pytest.mark.parametrize("start", [0, 77, U32])
def test_a_request_that_was_taken_cannot_be_taken_back(start: int) -> None:
    """Else the backend would take slots for ever, and keep requests without end."""
    front, back = pair(start=start)
    for i in range(3):
        front.request(request(i))
    assert len(list(back.requests())) == 3
    front.set("request_producer", start + 2)
    with pytest.raises(RingBrokenError):
        list(back.requests())
    assert back.n_open == 3


def test_a_request_that_comes_at_the_last_moment_is_seen() -> None:
    """Between the last look and asking for a signal: `rest` says so, and `requests` goes on."""
    front, back = pair()
    front.request(request(1))
    seen = []
    for data in back.requests():
        seen.append(data)
        if len(seen) == 1:
            front.request(request(2))
    assert len(seen) == 2
    assert front.get("request_event") == 3
    assert not back.rest()
    front.request(request(3))
    assert back.rest()


@given(st.integers(0, U32), st.integers(0, 5), st.integers(0, SLOTS), st.integers(0, U32))
def test_when_a_signal_is_wanted(start: int, n_before: int, n: int, event: int) -> None:
    """If the event's index is among those that become visible, and only then."""
    _, back = pair(start=start)
    back._words[3] = event
    back._put = start + n_before & U32
    back._shown = back._put
    new = [back._put + 1 + i & U32 for i in range(n)]
    back._put = back._put + n & U32
    assert back.push() is (event in new)
    assert back.push() is False
