# SPDX-License-Identifier: GPL-2.0-or-later
"""The network device by its rings, with no CPU, on a switch with one other device."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pvisor.abi.errnos import E2BIG, EINVAL, ENOENT, EPERM
from pvisor.machine.switch import LATENCY_NS, Receive, Switch, default_mac
from pvisor.machine.timers import Timers
from pvisor.para.buffers import READ, WRITE
from pvisor.para.net import Net
from pvisor.para.ring import BUFFER_RING
from tests.para.ring_rig import DATA, Station, buffer_request

MAC, OTHER, ALL = default_mac(0), default_mac(1), b"\xff" * 6
_INVAL, _PERM, _NOENT, _2BIG = EINVAL.number, EPERM.number, ENOENT.number, E2BIG.number


def frame(to: bytes, size: int = 60, sender: bytes = OTHER, mark: int = 1) -> bytes:
    return (to + sender + b"\x88\xb5").ljust(size, bytes([mark]))


class Rig(Station):
    """A guest with a card; what the other device gets is in `heard`."""

    def __init__(self) -> None:
        super().__init__()
        self.switch = Switch()
        self.heard: list[bytes] = []
        self.other = self.switch.attach(Timers(lambda: self.now_ns), self.heard.append)
        self.other.timers = self.domain.timers
        self.net = Net(self.host, self.domain, MAC, self._plug)
        self.net.start()
        self.connect("net/0", BUFFER_RING, ("send-ring", "receive-ring"))
        self.gref = self.grant(DATA)

    def _plug(self, receive: Receive) -> Callable[[bytes], object]:
        return self.switch.attach(self.domain.timers, receive).send

    def arrive(self, data: bytes) -> None:
        """A frame is on its way, and comes."""
        self.other.send(data)
        self.pass_time(self.now_ns + LATENCY_NS)

    def offer(self, n_bytes: int = 2048, offset: int = 0, *, id: int = 1, gref: int | None = None) -> None:
        """An empty buffer, without a signal."""
        self.rings[1].request(buffer_request(id, READ, gref or self.gref, offset, n_bytes))

    def send(self, data: bytes, *, op: int = WRITE, gref: int | None = None, offset: int = 0,
             n_bytes: int | None = None) -> tuple[int, int]:  # fmt: skip
        """Send; status and bytes."""
        self.memory.write(DATA + offset, data)
        size = len(data) if n_bytes is None else n_bytes
        self.rings[0].request(buffer_request(5, op, self.gref if gref is None else gref, offset, size))
        self.signal()
        ((id, status, n_done),) = self.rings[0].responses()
        assert id == 5
        return status, n_done


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.net.close()
    made.revoke_all()
    assert not any(made.table.counts.values())


def test_the_address(rig: Rig) -> None:
    assert rig.store.read("/domain/1/device/net/0/backend/mac") == b"52:54:00:12:34:56"


@pytest.mark.parametrize("size", [14, 59, 60, 61, 1514])
def test_send(rig: Rig, size: int) -> None:
    data = frame(ALL, size, MAC)
    assert rig.send(data, offset=100) == (0, size)
    rig.pass_time(LATENCY_NS)
    assert rig.heard == [data.ljust(60, b"\0")]


def test_what_is_not_sent(rig: Rig) -> None:
    shown = rig.grant(DATA, read_only=True)
    assert rig.send(frame(ALL, 60, MAC), gref=shown) == (0, 60)
    for wrong in (
        {"n_bytes": 0}, {"n_bytes": 13}, {"n_bytes": 1515}, {"n_bytes": 0xFFFF}, {"op": READ}, {"op": 2},
        {"n_bytes": 60, "offset": 4037},
    ):  # fmt: skip
        assert rig.send(b"", **wrong) == (_INVAL, 0)
    assert rig.send(b"", n_bytes=60, gref=0) == (_NOENT, 0)
    assert rig.send(b"", n_bytes=60, gref=rig.grant(DATA, domid=1)) == (_PERM, 0)
    rig.pass_time(LATENCY_NS)
    assert len(rig.heard) == 1


def test_receive(rig: Rig) -> None:
    rig.offer(offset=8)
    rig.signal()
    assert rig.rings[1].responses() == []
    rig.arrive(frame(MAC, 300))
    assert rig.rings[1].responses() == [(1, 0, 300)]
    assert rig.memory.read(DATA + 8, 300) == frame(MAC, 300)
    assert rig.port.n_sent == 1


def test_buffers_need_no_signal_and_are_used_in_order(rig: Rig) -> None:
    for i in range(3):
        rig.offer(id=i, offset=i * 1000, n_bytes=1000)
    for i in range(4):
        rig.arrive(frame(ALL, 60 + i, mark=i))
    assert rig.rings[1].responses() == [(0, 0, 60), (1, 0, 61), (2, 0, 62)]
    assert rig.net.n_lost == 1
    assert [rig.memory.read(DATA + i * 1000 + 20, 1)[0] for i in range(3)] == [0, 1, 2]


def test_whose_frames(rig: Rig) -> None:
    rig.offer()
    rig.arrive(frame(default_mac(7)))
    assert (rig.rings[1].responses(), rig.net.n_lost) == ([], 0)
    rig.arrive(frame(b"\x01\x00\x5e\0\0\1"))
    assert rig.rings[1].responses() == [(1, 0, 60)]


def test_a_buffer_that_is_too_small(rig: Rig) -> None:
    rig.offer(100, 4)
    rig.arrive(frame(MAC, 300))
    assert rig.rings[1].responses() == [(1, _2BIG, 300)]
    assert rig.memory.read(DATA, 105) == bytes(4) + frame(MAC, 300)[:100] + b"\0"


def test_buffers_that_make_no_sense(rig: Rig) -> None:
    shown = rig.grant(DATA, read_only=True)
    rig.offer(0)
    rig.offer(2, 4095)
    rig.rings[1].request(buffer_request(3, WRITE, rig.gref, 0, 60))
    rig.signal()
    assert [status for _, status, _ in rig.rings[1].responses()] == [_INVAL] * 3
    rig.offer(gref=99)
    rig.offer(gref=shown)
    rig.offer(id=4)
    for _ in range(3):
        rig.arrive(frame(ALL))
    assert rig.rings[1].responses() == [(1, _NOENT, 0), (1, _PERM, 0), (4, 0, 60)]


def test_a_page_that_is_taken_back_meanwhile(rig: Rig) -> None:
    gref = rig.grant(DATA)
    rig.offer(gref=gref)
    rig.signal()
    rig.table.revoke(gref)
    rig.arrive(frame(ALL))
    assert rig.rings[1].responses() == [(1, _NOENT, 0)]
    assert rig.memory.read(DATA, 60) == bytes(60)


@pytest.mark.parametrize("ring", [0, 1])
def test_an_index_that_lies(rig: Rig, ring: int) -> None:
    rig.rings[ring].set("request_producer", 65)
    rig.signal()
    assert rig.state("net/0") == "error"
    rig.arrive(frame(ALL))
    assert rig.net.n_lost == 1
    rig.part("net/0")
    rig.connect("net/0", BUFFER_RING, ("send-ring", "receive-ring"))
    rig.offer()
    rig.arrive(frame(ALL))
    assert rig.rings[1].responses() == [(1, 0, 60)]


def test_an_index_that_lies_when_a_frame_comes(rig: Rig) -> None:
    rig.rings[1].set("request_producer", 1 << 31)
    rig.arrive(frame(ALL))
    assert rig.state("net/0") == "error"


def test_parting_forgets_buffers(rig: Rig) -> None:
    rig.offer()
    rig.signal()
    rig.part("net/0")
    rig.arrive(frame(ALL))
    assert rig.memory.read(DATA, 60) == bytes(60)
    assert rig.net.n_lost == 1
