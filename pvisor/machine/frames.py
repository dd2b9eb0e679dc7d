# SPDX-License-Identifier: GPL-2.0-or-later
"""The hypervisor's own frames: what its tables in the guest's address spaces are made of.

They lie at engine-physical HV_BASE, far above any guest RAM. No guest table may name them but through the
hole's entry.
"""

from __future__ import annotations

import mmap

from pvisor.machine.memory import PAGE_BYTES

HV_BASE = 1 << 38
"""Engine-physical address of the first of the hypervisor's frames (cpu/shim/shim.h has the same)."""

ENTRIES_PER_TABLE = 512


class FramesExhaustedError(Exception):
    """No frame is free; whoever keeps a cache in frames drops it and begins anew."""


class HypervisorFrames:
    """A pool of zeroed 4 KiB frames."""

    def __init__(self, n_frames: int) -> None:
        self.size_bytes = n_frames * PAGE_BYTES
        self._buffer = mmap.mmap(-1, self.size_bytes)
        self._words = memoryview(self._buffer).cast("Q")
        self._n_frames = n_frames
        self._n_used = 0
        self._free: list[int] = []

    @property
    def buffer(self) -> mmap.mmap:
        """The host buffer, for the engine that maps it."""
        return self._buffer

    def allocate(self) -> int:
        """Engine-physical address of a zeroed frame. Raises FramesExhaustedError."""
        if self._free:
            frame = self._free.pop()
            at = frame - HV_BASE
            self._buffer[at : at + PAGE_BYTES] = bytes(PAGE_BYTES)
            return frame
        if self._n_used == self._n_frames:
            raise FramesExhaustedError
        self._n_used += 1
        return HV_BASE + (self._n_used - 1) * PAGE_BYTES

    def reserve_rest(self) -> tuple[int, int]:
        """(address of the first, how many) of all frames that are left, for one who deals them out itself."""
        first = HV_BASE + self._n_used * PAGE_BYTES
        n_frames, self._n_used = self._n_frames - self._n_used, self._n_frames
        return first, n_frames

    def release(self, frame: int) -> None:
        """Give a frame back."""
        self._free.append(frame)

    def entry(self, table: int, index: int) -> int:
        """A 64-bit entry of a table in one of the frames."""
        return self._words[((table - HV_BASE) >> 3) + index]

    def set_entry(self, table: int, index: int, value: int) -> None:
        """Store a 64-bit entry."""
        self._words[((table - HV_BASE) >> 3) + index] = value

    def write(self, frame: int, data: bytes) -> None:
        """Store bytes at the beginning of a frame."""
        at = frame - HV_BASE
        self._buffer[at : at + len(data)] = data

    def close(self) -> None:
        """Let go of the view, so that the buffer can go."""
        self._words.release()
