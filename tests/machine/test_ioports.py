# SPDX-License-Identifier: GPL-2.0-or-later
"""The I/O-port bus: routing, splitting of wide accesses, and what nobody claims."""

from __future__ import annotations

import pytest

from pvisor.machine.ioports import IoPortBus


class Bytes:
    """A device of bytes that notes what it is asked."""

    def __init__(self, widest_bytes: int = 1, values: bytes = b"\x11\x22\x33\x44") -> None:
        self.widest_bytes = widest_bytes
        self.values = values
        self.log: list[tuple[object, ...]] = []

    def read(self, offset: int, size_bytes: int) -> int:
        self.log.append(("read", offset, size_bytes))
        return int.from_bytes(self.values[offset : offset + size_bytes], "little")

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        self.log.append(("write", offset, size_bytes, value))


@pytest.fixture
def bus() -> IoPortBus:
    return IoPortBus()


def test_a_device_sees_offsets(bus: IoPortBus) -> None:
    device = Bytes()
    bus.attach(0x3F8, 4, device)
    assert bus.read(0x3FA, 1) == 0x33
    bus.write(0x3FB, 1, 0x55)
    assert device.log == [("read", 2, 1), ("write", 3, 1, 0x55)]
    assert bus.unclaimed == {}


@pytest.mark.parametrize(("size_bytes", "ones"), [(1, 0xFF), (2, 0xFFFF), (4, 0xFFFF_FFFF)])
def test_what_nobody_claims_is_all_ones_and_counted(bus: IoPortBus, size_bytes: int, ones: int) -> None:
    bus.attach(0x3F8, 4, Bytes())
    assert bus.read(0x80, size_bytes) == ones
    bus.write(0x80, size_bytes, 0x12)
    assert bus.read(0xFFFF, size_bytes) == ones
    assert bus.unclaimed == {0x80: 2, 0xFFFF: 1}


def test_a_range_is_half_open(bus: IoPortBus) -> None:
    bus.attach(0x10, 4, Bytes())
    assert bus.read(0x0F, 1) == bus.read(0x14, 1) == 0xFF
    assert bus.unclaimed == {0x0F: 1, 0x14: 1}


@pytest.mark.parametrize(("base", "n_ioports"), [(0x10, 4), (0x13, 1), (0x0F, 2), (0x08, 16), (0x12, 9)])
def test_an_overlap_is_refused_and_changes_nothing(bus: IoPortBus, base: int, n_ioports: int) -> None:
    first = Bytes()
    bus.attach(0x10, 4, first)
    with pytest.raises(ValueError, match="is taken"):
        bus.attach(base, n_ioports, Bytes())
    assert bus.read(0x0F, 1) == bus.read(0x14, 1) == 0xFF
    assert bus.read(0x10, 1) == 0x11


def test_neighbours_do_not_overlap(bus: IoPortBus) -> None:
    bus.attach(0x10, 4, Bytes())
    bus.attach(0x14, 1, Bytes(values=b"\x99"))
    assert bus.read(0x14, 1) == 0x99


def test_a_wide_access_to_a_narrow_device_is_split(bus: IoPortBus) -> None:
    device = Bytes()
    bus.attach(0x60, 4, device)
    assert bus.read(0x60, 4) == 0x4433_2211
    assert device.log == [("read", i, 1) for i in range(4)]
    device.log.clear()
    bus.write(0x60, 2, 0xBBAA)
    assert device.log == [("write", 0, 1, 0xAA), ("write", 1, 1, 0xBB)]


def test_a_wide_device_gets_wide_accesses_whole(bus: IoPortBus) -> None:
    device = Bytes(widest_bytes=4)
    bus.attach(0x604, 4, device)
    assert bus.read(0x604, 4) == 0x4433_2211
    bus.write(0x604, 2, 0x2000)
    assert device.log == [("read", 0, 4), ("write", 0, 2, 0x2000)]


def test_a_split_access_fills_up_with_ones(bus: IoPortBus) -> None:
    device = Bytes(values=b"\x42")
    bus.attach(0x61, 1, device)
    assert bus.read(0x60, 2) == 0x42FF
    assert bus.read(0x61, 2) == 0xFF42
    assert bus.read(0x60, 4) == 0xFFFF_42FF
    assert device.log == [("read", 0, 1)] * 3
    bus.write(0x60, 4, 0xDDCC_BBAA)
    assert device.log[3:] == [("write", 0, 1, 0xBB)]
    assert sum(bus.unclaimed.values()) > 0
