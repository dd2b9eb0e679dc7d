# SPDX-License-Identifier: GPL-2.0-or-later
"""Rings full of anything: whatever a guest writes, the host goes on, and gives back what it held."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pvisor.machine.disk import DiskImage
from pvisor.machine.memory import PAGE_BYTES
from pvisor.para.backend import Backend
from pvisor.para.block import Block
from pvisor.para.console import ConsoleRing
from pvisor.para.entropy import Entropy
from pvisor.para.net import Net
from pvisor.para.ring import RingKind
from tests.domain.fakes import FakeInput
from tests.para.ring_rig import DATA, Station

KINDS = ("block", "net", "console", "entropy")
NAMES = {"net": ("send-ring", "receive-ring")}
INDEX = st.one_of(st.integers(0, 70), st.integers(0, (1 << 32) - 1))


def device(kind: str, station: Station, folder: Path) -> Backend:
    """A backend of a kind."""
    if kind == "block":
        path = folder / "disk.img"
        if not path.exists():
            path.write_bytes(bytes(64 * 512))
        return Block(station.host, station.domain, DiskImage(path, read_only=True))
    if kind == "net":
        return Net(station.host, station.domain, bytes(6), lambda receive: lambda frame: None)
    if kind == "console":
        return ConsoleRing(station.host, station.domain)
    return Entropy(station.host, station.domain)


def numbers(data: st.DataObject, grefs: list[int], kind: RingKind) -> bytes:
    """The slots of a ring: small numbers, limits, and grefs that are good."""
    n = (PAGE_BYTES - 64) // 4
    limits = [0, 1, 2, 8, 63, 64, 512, 4096, 0xFFFF, 0x0200_0000, 0x1000_0001, 0xFFFF_FFFF]
    some = st.sampled_from([*limits, *grefs])
    pattern = data.draw(st.lists(some, min_size=1, max_size=2 * kind.request_bytes // 4))
    words = (pattern * (n // len(pattern) + 1))[:n]
    return b"".join(word.to_bytes(4, "little") for word in words)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_anything_in_the_rings(kind: str, tmp_path: Path, data: st.DataObject) -> None:
    station = Station(FakeInput(b"some input", at_ns=50))
    backend = device(kind, station, tmp_path)
    names = NAMES.get(kind, ("ring",))
    backend.start()
    station.connect(f"{kind}/0", backend.ring_kind, names)
    shown, foreign = station.grant(DATA + PAGE_BYTES, read_only=True), station.grant(DATA, domid=1)
    grefs = [station.grant(DATA), shown, foreign]
    for round in range(data.draw(st.integers(1, 3))):
        for ring in station.rings:
            station.memory.write(ring.gpa + 64, numbers(data, grefs, backend.ring_kind))
            ring.set("request_producer", data.draw(INDEX))
            ring.set("response_event", data.draw(INDEX))
        station.signal()
        if isinstance(backend, Net):
            backend.receive(b"\xff" * 60)
        station.pass_time(30 * (round + 1))
    assert station.state(f"{kind}/0") in ("connected", "error")
    station.part(f"{kind}/0")
    backend.close()
    if isinstance(backend, Block):
        backend._disk.close()
    station.revoke_all()
    assert not any(station.table.counts.values())

