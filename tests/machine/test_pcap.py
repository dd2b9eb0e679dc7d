# SPDX-License-Identifier: GPL-2.0-or-later
"""Captures, by the bytes of the format."""

from __future__ import annotations

import struct

import pytest

from pvisor.errors import UsageError
from pvisor.machine.clock import DEFAULT_EPOCH_S, WallClock
from pvisor.machine.pcap import PcapWriter

HEADER = bytes.fromhex("4d3cb2a1 0200 0400 00000000 00000000 ffff0000 01000000")


def capture(*frames: tuple[int, bytes], epoch_s: int = DEFAULT_EPOCH_S) -> bytes:
    file = bytearray()
    writer = PcapWriter(file.extend, WallClock(epoch_s))
    for virtual_ns, frame in frames:
        writer.frame(virtual_ns, frame)
    writer.finish()
    return bytes(file)


def test_an_empty_capture_is_a_header() -> None:
    assert capture() == HEADER


def test_nothing_is_written_before_it_must() -> None:
    file = bytearray()
    PcapWriter(file.extend, WallClock())
    assert file == b""


def test_frames_bear_the_guests_date() -> None:
    first, second = bytes(range(60)), b"y" * 1514
    expected = HEADER
    expected += struct.pack("<IIII", DEFAULT_EPOCH_S, 5, 60, 60) + first
    expected += struct.pack("<IIII", DEFAULT_EPOCH_S + 2, 1, 1514, 1514) + second
    assert capture((5, first), (2_000_000_001, second)) == expected


def test_a_frame_beyond_the_snap_length_is_cut() -> None:
    data = capture((0, b"z" * 70000))
    assert struct.unpack_from("<II", data, 24 + 8) == (65535, 70000)
    assert len(data) == 24 + 16 + 65535


def test_a_date_beyond_the_format_begins_again() -> None:
    data = capture((0, b"z" * 60), epoch_s=(1 << 32) + 9)
    assert struct.unpack_from("<I", data, 24) == (9,)


def test_what_the_host_says_passes_through() -> None:
    def full(data: bytes) -> None:
        raise UsageError("--pcap /dev/full: cannot be written (no space left on device)")

    writer = PcapWriter(full, WallClock())
    with pytest.raises(UsageError, match="no space left"):
        writer.frame(0, b"z" * 60)
