# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding room in a PC's RAM for what a boot loader puts there besides the kernel."""

from __future__ import annotations

import bisect
from collections.abc import Iterable

from pvisor.machine.memory import PAGE_BYTES


class Ram:
    """The RAM of a PC at its start, in half-open ranges of guest-physical addresses, and what is taken."""

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        self._taken: list[tuple[int, int]] = []
        end = 0
        for first, last in sorted(ranges):
            if first > end:
                self._taken.append((end, first))
            end = max(end, last)
        self.end = end
        """Where RAM ends."""
        self._holes = tuple(self._taken)

    def hole_in(self, start: int, n_bytes: int) -> tuple[int, int] | None:
        """The first range in [start, start + n_bytes) that is no RAM, or None."""
        end = start + n_bytes
        for first, last in (*self._holes, (self.end, max(self.end, end))):
            if max(first, start) < min(last, end):
                return max(first, start), min(last, end)
        return None

    def take(self, start: int, n_bytes: int) -> None:
        """Nothing else shall be put there."""
        if n_bytes:
            bisect.insort(self._taken, (start, start + n_bytes))

    def lowest(self, n_bytes: int, lowest: int) -> int | None:
        """Take the first free room of whole pages at or above `lowest`: its address, or None."""
        n_bytes = max(n_bytes, 1)
        at = _up(lowest)
        for start, end in self._taken:
            if at + n_bytes <= start:
                break
            at = max(at, _up(end))
        return self._take(at, n_bytes) if at + n_bytes <= self.end else None

    def highest(self, n_bytes: int, lowest: int, end: int | None = None) -> int | None:
        """Take the last free room of whole pages in [lowest, end), or up to the end of RAM: as `lowest`."""
        n_bytes = max(n_bytes, 1)
        below = self.end if end is None else min(end, self.end)
        for start, taken_end in sorted(self._taken, key=lambda taken: -taken[1]):
            if _down(below - n_bytes) >= taken_end:
                break
            below = min(below, start)
        at = _down(below - n_bytes)
        return self._take(at, n_bytes) if at >= lowest else None

    def _take(self, at: int, n_bytes: int) -> int:
        self.take(at, n_bytes)
        return at


def _up(address: int) -> int:
    return address + PAGE_BYTES - 1 & -PAGE_BYTES


def _down(address: int) -> int:
    return address & -PAGE_BYTES
