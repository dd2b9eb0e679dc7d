# SPDX-License-Identifier: GPL-2.0-or-later
"""The hypervisor's frames: each is handed out once, and zeroed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pvisor.machine.frames import ENTRIES_PER_TABLE, HV_BASE, FramesExhaustedError, HypervisorFrames
from pvisor.machine.memory import PAGE_BYTES


@pytest.fixture
def frames() -> Iterator[HypervisorFrames]:
    made = HypervisorFrames(8)
    yield made
    made.close()


def test_frames_lie_above_all_guest_memory(frames: HypervisorFrames) -> None:
    handed_out = [frames.allocate() for _ in range(8)]
    assert sorted(handed_out) == [HV_BASE + i * PAGE_BYTES for i in range(8)]
    assert len(frames.buffer) == frames.size_bytes == 8 * PAGE_BYTES


def test_when_none_is_free_that_is_said(frames: HypervisorFrames) -> None:
    handed_out = [frames.allocate() for _ in range(8)]
    with pytest.raises(FramesExhaustedError):
        frames.allocate()
    frames.release(handed_out[3])
    assert frames.allocate() == handed_out[3]
    with pytest.raises(FramesExhaustedError):
        frames.allocate()


def test_a_frame_that_comes_back_is_zeroed(frames: HypervisorFrames) -> None:
    frame = frames.allocate()
    frames.write(frame, b"\xee" * PAGE_BYTES)
    frames.release(frame)
    assert frames.allocate() == frame
    at = frame - HV_BASE
    assert frames.buffer[at : at + PAGE_BYTES] == bytes(PAGE_BYTES)


def test_entries_are_little_endian_words_of_their_frame(frames: HypervisorFrames) -> None:
    frames.allocate()
    table = frames.allocate()
    frames.set_entry(table, 0, 0x0123_4567_89AB_CDEF)
    frames.set_entry(table, ENTRIES_PER_TABLE - 1, (1 << 64) - 1)
    assert frames.entry(table, 0) == 0x0123_4567_89AB_CDEF
    assert frames.entry(table, ENTRIES_PER_TABLE - 1) == (1 << 64) - 1
    assert frames.buffer[PAGE_BYTES : PAGE_BYTES + 8] == bytes.fromhex("efcdab8967452301")
    assert frames.buffer[2 * PAGE_BYTES - 8 : 2 * PAGE_BYTES] == b"\xff" * 8
    assert not any(frames.buffer[:PAGE_BYTES])


@pytest.mark.parametrize("value", [-1, 1 << 64])
def test_an_entry_has_64_bits(frames: HypervisorFrames, value: int) -> None:
    table = frames.allocate()
    with pytest.raises((ValueError, OverflowError)):
        frames.set_entry(table, 0, value)
