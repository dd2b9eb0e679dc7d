# SPDX-License-Identifier: GPL-2.0-or-later
"""Console input by hand, for tests of devices."""

from __future__ import annotations

from pvisor.machine.console import POLL_NS


class Typed:
    """Byte k arrives at `start_ns` + k * `step_ns`, as a pipe's bytes do."""

    is_live = False

    def __init__(self, data: bytes = b"", start_ns: int = 1000, step_ns: int = 100) -> None:
        self.data = data
        self.start_ns = start_ns
        self.step_ns = step_ns
        self.n_taken = 0

    def next_arrival_ns(self, virtual_ns: int) -> int | None:
        """The next byte's time."""
        return self.start_ns + self.n_taken * self.step_ns if self.n_taken < len(self.data) else None

    def wait(self, timeout_s: float) -> bool:
        """Never has to."""
        return False

    def has_arrived(self, virtual_ns: int) -> bool:
        """Is there a byte to take?"""
        due_ns = self.next_arrival_ns(virtual_ns)
        return due_ns is not None and due_ns <= virtual_ns

    def take(self, virtual_ns: int, n_bytes: int) -> bytes:
        """Take what has arrived."""
        first = self.n_taken
        while self.n_taken < first + n_bytes and self.has_arrived(virtual_ns):
            self.n_taken += 1
        return self.data[first : self.n_taken]


class Live:
    """A terminal: what is in `data` has been typed. Counts how often it was asked."""

    is_live = True

    def __init__(self) -> None:
        self.data = b""
        self.is_open = True
        self.n_polls = 0
        self._polled_ns = -POLL_NS

    def next_arrival_ns(self, virtual_ns: int) -> int | None:
        """The next poll."""
        if self.data:
            return virtual_ns
        return self._polled_ns + POLL_NS if self.is_open else None

    def wait(self, timeout_s: float) -> bool:
        """Nobody types while a test waits."""
        return bool(self.data) or not self.is_open

    def has_arrived(self, virtual_ns: int) -> bool:
        """Is there a byte to take?"""
        return bool(self.data)

    def take(self, virtual_ns: int, n_bytes: int) -> bytes:
        """Take what has been typed."""
        self.n_polls += 1
        self._polled_ns = virtual_ns
        taken, self.data = self.data[:n_bytes], self.data[n_bytes:]
        return taken
