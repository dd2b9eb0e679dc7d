# SPDX-License-Identifier: GPL-2.0-or-later
"""A domain's RAM: one host buffer, and the only place where a guest-physical range is checked.

The engine maps the same buffer, so host and guest see each other's writes at no cost. Nothing outside this
file indexes the buffer.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path

from pvisor.errors import GuestRefused, PvisorError, UsageError

PAGE_BYTES = 4096
MIN_BYTES = 1 << 20
"""The least memory that a domain has, of whatever kind."""


class MemoryRangeError(ValueError):
    """A guest-physical range that is not wholly inside the domain's RAM."""


class GuestMemory:
    """RAM of `size_bytes` bytes at guest-physical address 0, zeroed, allocated as it is touched.

    Raises UsageError when the size is not a whole number of pages or more than the host has.
    """

    def __init__(self, size_bytes: int) -> None:
        if size_bytes < MIN_BYTES or size_bytes % PAGE_BYTES:
            raise UsageError(f"--memory: {size_bytes} bytes will not do; give whole pages, at least 1M")
        host_bytes = host_memory_bytes()
        if size_bytes > host_bytes:
            raise UsageError(
                f"--memory: {size_bytes >> 20}M is more than this host has ({host_bytes >> 20}M); give less"
            )
        try:
            self._buffer = mmap.mmap(-1, size_bytes)
        except (OSError, ValueError, OverflowError) as error:
            raise UsageError(
                f"--memory: the host gives no {size_bytes >> 20}M ({error}); give less"
            ) from error
        self.size_bytes = size_bytes
        self._words = memoryview(self._buffer).cast("Q")
        self._halves = memoryview(self._buffer).cast("I")

    @property
    def buffer(self) -> mmap.mmap:
        """The host buffer, for the engine that maps it."""
        return self._buffer

    def check(self, gpa: int, n_bytes: int) -> None:
        """Raise MemoryRangeError unless [gpa, gpa + n_bytes) is RAM."""
        if gpa < 0 or n_bytes < 0 or gpa + n_bytes > self.size_bytes:
            raise MemoryRangeError(f"[{gpa:#x}, {gpa + n_bytes:#x}) is not in [0, {self.size_bytes:#x})")

    def read(self, gpa: int, n_bytes: int) -> bytes:
        """Copy of a range."""
        self.check(gpa, n_bytes)
        return self._buffer[gpa : gpa + n_bytes]

    def write(self, gpa: int, data: bytes | bytearray | memoryview) -> None:
        """Store bytes at gpa."""
        self.check(gpa, len(data))
        self._buffer[gpa : gpa + len(data)] = data

    def give_back(self, gpa: int, n_bytes: int) -> None:
        """Whole pages are zero again, and cost the host nothing until they are touched."""
        self.check(gpa, n_bytes)
        self._buffer[gpa : gpa + n_bytes] = bytes(n_bytes)
        if hasattr(mmap, "MADV_REMOVE"):
            with suppress(OSError):  # a host that cannot: they are zero all the same
                self._buffer.madvise(mmap.MADV_REMOVE, gpa, n_bytes)

    def view(self, gpa: int, n_bytes: int) -> memoryview:
        """A range as it is, to be read and written in place."""
        self.check(gpa, n_bytes)
        return memoryview(self._buffer)[gpa : gpa + n_bytes]

    def find(self, data: bytes, gpa: int, n_bytes: int) -> int | None:
        """Where these bytes lie first in a range, or None. It touches frames that nobody has touched."""
        self.check(gpa, n_bytes)
        found = self._buffer.find(data, gpa, gpa + n_bytes)
        return found if found >= 0 else None

    def read_u64(self, gpa: int) -> int:
        """One little-endian 64-bit word."""
        return int.from_bytes(self.read(gpa, 8), "little")

    def read_u64_or_0(self, gpa: int) -> int:
        """The aligned 64-bit word at or below gpa; 0 where there is no RAM. For page-table entries."""
        try:
            return self._words[gpa >> 3]
        except IndexError:
            return 0

    def read_u32_or_0(self, gpa: int) -> int:
        """The same for 32 bits."""
        try:
            return self._halves[gpa >> 2]
        except IndexError:
            return 0

    def write_u64(self, gpa: int, value: int) -> None:
        """Store one little-endian 64-bit word."""
        self.write(gpa, value.to_bytes(8, "little"))


def too_little(kernel: Path, least_bytes: int, size_bytes: int) -> PvisorError:
    """The refusal of a kernel that needs `least_bytes`, whole pages, of a domain that has `size_bytes`.

    A UsageError where so little will not do for any kernel.
    """
    least, kind = size_text(least_bytes), UsageError if size_bytes < MIN_BYTES else GuestRefused
    return kind(
        f"{kernel}: needs at least {least} of memory, the domain has {size_text(size_bytes)}; "
        "give more --memory"
    )


def size_text(n_bytes: int) -> str:
    """A size as `--memory` takes it, in the largest unit that divides it: 64M, 2164K, 100."""
    if n_bytes and n_bytes % (1 << 20) == 0:
        return f"{n_bytes >> 20}M"
    return f"{n_bytes >> 10}K" if n_bytes and n_bytes % 1024 == 0 else str(n_bytes)


def host_memory_bytes() -> int:
    """The host's physical memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
