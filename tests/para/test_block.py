# SPDX-License-Identifier: GPL-2.0-or-later
"""The block device by its ring, with no CPU: what it does, and what it refuses."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from pvisor.abi.errnos import EINVAL, EIO, ENOENT, EPERM
from pvisor.machine import disk as disks
from pvisor.machine.disk import DiskImage
from pvisor.machine.memory import PAGE_BYTES
from pvisor.para.block import DISCARD, DISCARD_MAX, FLUSH, READ, WRITE, Block
from pvisor.para.ring import BLOCK_RING
from tests.para.ring_rig import DATA, Station

N_SECTORS = 64
_INVAL, _IO, _PERM, _NOENT = EINVAL.number, EIO.number, EPERM.number, ENOENT.number


class Rig(Station):
    """A guest with a disk."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        super().__init__()
        path.write_bytes(b"".join(bytes([i]) * 512 for i in range(N_SECTORS)))
        self.path = path
        self.disk = DiskImage(path, read_only=read_only)
        self.block = Block(self.host, self.domain, self.disk)
        self.block.start()
        self.connect("block/0", BLOCK_RING)
        self.gref = self.grant(DATA)

    def put(self, op: int, sector: int, n_sectors: int, segments: list[tuple[int, int, int]] | None = None, *,
            id: int = 7, n_segments: int | None = None) -> None:  # fmt: skip
        """A request."""
        segments = segments or []
        n = len(segments) if n_segments is None else n_segments
        data = struct.pack("<IHHQQ", id, op, n, sector, n_sectors)
        data += b"".join(struct.pack("<IHH", *segment) for segment in segments)
        self.rings[0].request(data.ljust(BLOCK_RING.request_bytes, b"\0"))

    def do(self, op: int, sector: int, n_sectors: int, segments: list[tuple[int, int, int]] | None = None,
           **more: int) -> tuple[int, int]:  # fmt: skip
        """One request served: status and bytes."""
        self.put(op, sector, n_sectors, segments, **more)
        self.signal()
        ((id, status, n_bytes),) = self.rings[0].responses()
        assert id == more.get("id", 7)
        return status, n_bytes

    def sector(self, number: int) -> bytes:
        return self.path.read_bytes()[number * 512 : (number + 1) * 512]

    def end(self) -> None:
        self.block.close()
        self.disk.close()
        self.revoke_all()
        assert not any(self.table.counts.values())
        assert not self.store.watches


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / "disk.img")
    yield made
    made.end()


def test_what_the_guest_is_told(rig: Rig) -> None:
    home = "/domain/1/device/block/0/backend"
    facts = {name: rig.store.read(home + name) for name in ("", "/state", "/sectors", "/mode")}
    assert facts == {"": b"0", "/state": b"connected", "/sectors": b"64", "/mode": b"rw"}


def test_read_and_write(rig: Rig) -> None:
    assert rig.do(READ, 3, 3, [(rig.gref, 512, 1024), (rig.gref, 3584, 512)]) == (0, 1536)
    page = rig.memory.read(DATA, PAGE_BYTES)
    assert page == bytes(512) + b"\3" * 512 + b"\4" * 512 + bytes(2048) + b"\5" * 512
    assert rig.do(WRITE, 60, 2, [(rig.gref, 1000, 1024)]) == (0, 1024)
    assert rig.sector(60) + rig.sector(61) == page[1000:2024]
    assert rig.do(FLUSH, 0, 0) == (0, 0)
    assert rig.port.n_sent == 3


def test_discard(rig: Rig) -> None:
    assert rig.do(DISCARD, 1, 3) == (0, 0)
    assert [rig.sector(i)[0] for i in range(6)] == [0, 0, 0, 0, 4, 5]
    assert len(rig.path.read_bytes()) == N_SECTORS * 512


def test_discard_on_a_host_that_cannot(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks, "punch_hole", lambda fd, at, n_bytes: False)
    monkeypatch.setattr(disks, "_ZEROS_AT_ONCE", 2)
    assert rig.do(DISCARD, 10, 5) == (0, 0)
    assert [rig.sector(i)[0] for i in range(9, 17)] == [9, 0, 0, 0, 0, 0, 15, 16]


@pytest.mark.parametrize(
    ("op", "sector", "n_sectors", "segments"),
    [
        (READ, 0, 1, []),
        (READ, 0, 0, []),
        (READ, 0, 0, [(0, 0)]),
        (READ, 0, 2, [(0, 512)]),
        (READ, 0, 1, [(0, 1024)]),
        (READ, 0, 1, [(0, 511)]),
        (READ, 0, 1, [(0, 512), (0, 0)]),
        (READ, 0, 1, [(3585, 512)]),
        (READ, 0, 1, [(0xFFFF, 512)]),
        (READ, 0, 127, [(0, 0xFE00)]),
        (READ, N_SECTORS, 1, [(0, 512)]),
        (READ, N_SECTORS - 1, 2, [(0, 1024)]),
        (READ, (1 << 64) - 1, 1, [(0, 512)]),
        (WRITE, (1 << 64) - 1, 1, [(0, 512)]),
        (WRITE, 1 << 55, 1, [(0, 512)]),
        (FLUSH, 0, 1, []),
        (FLUSH, 1, 0, []),
        (FLUSH, 0, 0, [(0, 512)]),
        (DISCARD, 0, 0, []),
        (DISCARD, 0, 1, [(0, 512)]),
        (DISCARD, 0, DISCARD_MAX + 1, []),
        (DISCARD, N_SECTORS - 1, 2, []),
        (DISCARD, (1 << 64) - 1, (1 << 64) - 1, []),
        (4, 0, 1, [(0, 512)]),
        (0xFFFF, 0, 1, [(0, 512)]),
    ],
)
def test_requests_that_make_no_sense(
    rig: Rig, op: int, sector: int, n_sectors: int, segments: list[tuple[int, int]]
) -> None:
    before, memory = rig.path.read_bytes(), rig.memory.read(DATA, PAGE_BYTES)
    assert rig.do(op, sector, n_sectors, [(rig.gref, *segment) for segment in segments]) == (_INVAL, 0)
    assert (rig.path.read_bytes(), rig.memory.read(DATA, PAGE_BYTES)) == (before, memory)
    assert rig.do(READ, 1, 1, [(rig.gref, 0, 512)]) == (0, 512)


@pytest.mark.parametrize("n_segments", [9, 0xFFFF])
def test_more_segments_than_there_is_room_for(rig: Rig, n_segments: int) -> None:
    segments = [(rig.gref, 512 * i, 512) for i in range(8)]
    assert rig.do(READ, 0, 9, segments, n_segments=n_segments) == (_INVAL, 0)
    assert rig.do(READ, 0, 8, segments) == (0, 4096)


def test_pages_that_are_not_granted(rig: Rig) -> None:
    shown, foreign = rig.grant(DATA, read_only=True), rig.grant(DATA, domid=1)
    stale = rig.grant(DATA)
    rig.table.revoke(stale)
    before = rig.path.read_bytes()
    for gref, status in ((0, _NOENT), (0xFFFF_FFFF, _NOENT), (stale, _NOENT), (foreign, _PERM)):
        for op in (READ, WRITE):
            assert rig.do(op, 1, 2, [(rig.gref, 0, 512), (gref, 0, 512)]) == (status, 0)
    assert rig.do(READ, 1, 1, [(shown, 0, 512)]) == (_PERM, 0)
    assert rig.path.read_bytes() == before
    assert rig.memory.read(DATA, PAGE_BYTES) == bytes(PAGE_BYTES)
    assert rig.do(WRITE, 1, 1, [(shown, 0, 512)]) == (0, 512)
    assert rig.sector(1) == bytes(512)


def test_several_in_flight(rig: Rig) -> None:
    for i in range(BLOCK_RING.n_slots):
        rig.put(READ, i, 1, [(rig.gref, i % 8 * 512, 512)], id=1000 + i)
    rig.signal()
    assert rig.port.n_sent == 1
    found = rig.rings[0].responses()
    assert found == [(1000 + i, 0, 512) for i in range(BLOCK_RING.n_slots)]
    assert rig.memory.read(DATA, 1) == bytes([24])


def test_no_signal_where_none_is_wanted(rig: Rig) -> None:
    rig.rings[0].set("response_event", 3)
    for _ in range(2):
        rig.put(FLUSH, 0, 0)
        rig.signal()
    assert rig.port.n_sent == 0
    rig.put(FLUSH, 0, 0)
    rig.signal()
    assert rig.port.n_sent == 1


def test_a_read_only_disk(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "disk.img", read_only=True)
    assert rig.store.read("/domain/1/device/block/0/backend/mode") == b"ro"
    assert rig.do(WRITE, 1, 1, [(rig.gref, 0, 512)]) == (_PERM, 0)
    assert rig.do(DISCARD, 1, 1) == (_PERM, 0)
    assert rig.do(READ, 1, 1, [(rig.gref, 0, 512)]) == (0, 512)
    assert rig.do(FLUSH, 0, 0) == (0, 0)
    rig.end()


def test_a_disk_that_fails(rig: Rig) -> None:
    os.truncate(rig.path, 10 * 512)
    assert rig.do(READ, 9, 2, [(rig.gref, 0, 1024)]) == (_IO, 0)
    assert rig.memory.read(DATA, PAGE_BYTES) == bytes(PAGE_BYTES)


# --- connecting, parting, breaking the rules


def test_parting_and_coming_again(rig: Rig) -> None:
    first = rig.port
    rig.part("block/0")
    assert (rig.state("block/0"), first.is_open, rig.block.is_connected) == ("closed", False, False)
    rig.signal()
    rig.connect("block/0", BLOCK_RING)
    assert rig.state("block/0") == "connected"
    assert rig.do(READ, 1, 1, [(rig.gref, 0, 512)]) == (0, 512)


def test_ready_said_twice_changes_nothing(rig: Rig) -> None:
    rig.store.write("/domain/1/device/block/0/state", b"ready")
    assert len(rig.events.ports) == 1
    assert rig.do(FLUSH, 0, 0) == (0, 0)


def test_the_guest_closes_its_port(rig: Rig) -> None:
    rig.port.is_open = False
    rig.signal()
    assert rig.state("block/0") == "closed"
    assert not rig.block.is_connected


@pytest.mark.parametrize("lie", [33, 1 << 31, (1 << 32) - 1])
def test_a_ring_whose_index_lies(rig: Rig, lie: int) -> None:
    rig.rings[0].set("request_producer", lie)
    rig.signal()
    assert rig.state("block/0") == "error"
    assert rig.store.read("/domain/1/device/block/0/backend/error") == b"the index of a ring lies"
    assert not rig.block.is_connected
    rig.signal()
    rig.part("block/0")
    rig.connect("block/0", BLOCK_RING)
    assert rig.do(READ, 1, 1, [(rig.gref, 0, 512)]) == (0, 512)


@pytest.mark.parametrize(
    "value", [b"", b"-1", b"0", b"12x", b"4294967296", b"9" * 11, b" 1", b"\xff", b"0x10", b"\xd9\xa3"]
)
@pytest.mark.parametrize("node", ["ring", "port"])
def test_numbers_that_are_none(rig: Rig, node: str, value: bytes) -> None:
    rig.part("block/0")
    rig.store.values["/domain/1/device/block/0/" + node] = value
    rig.store.write("/domain/1/device/block/0/state", b"ready")
    assert rig.state("block/0") == "error"
    assert not rig.block.is_connected


@pytest.mark.parametrize("node", ["ring", "port"])
def test_numbers_that_are_missing(rig: Rig, node: str) -> None:
    rig.part("block/0")
    del rig.store.values["/domain/1/device/block/0/" + node]
    rig.store.write("/domain/1/device/block/0/state", b"ready")
    assert rig.state("block/0") == "error"


def test_a_ring_that_may_not_be_written(rig: Rig) -> None:
    rig.part("block/0")
    gref = rig.grant(DATA, read_only=True)
    rig.store.write("/domain/1/device/block/0/ring", str(gref).encode())
    rig.store.write("/domain/1/device/block/0/state", b"ready")
    assert rig.state("block/0") == "error"


def test_a_guest_that_dies_is_let_go(rig: Rig) -> None:
    rig.put(READ, 1, 1, [(rig.gref, 0, 512)])
    rig.grants.remove(1)
    rig.signal()  # the ring's page is still there: what was asked is refused, for its pages are nobody's
    assert rig.rings[0].responses() == [(7, _NOENT, 0)]
    rig.block.close()
    rig.block.close()
    assert rig.port.n_sent == 1

