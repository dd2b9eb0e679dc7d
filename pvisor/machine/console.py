# SPDX-License-Identifier: GPL-2.0-or-later
"""Both ends of a domain's console on the host: where its bytes go, and when typed bytes arrive."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from typing import Protocol

START_NS = 1_000_000
"""Virtual time at which the first byte of input arrives."""
BYTE_NS = 86_806
"""Virtual time between two bytes of input: 10 bits at 115200 baud, as on the wire."""
SILENCE_S = 0.05
"""Host time after which a pipe that has given nothing counts as a live one, like a terminal."""
POLL_NS = 1_000_000
"""Virtual time between two looks at a live input, by a device that cannot be told."""

MAX_KEPT_BYTES = 1 << 26
"""Of its output so much is kept where it is kept; a guest can write for ever."""

TAIL_BYTES = 4096
"""So much of the end of its output is always kept, for a crash report."""

Gathered = Callable[[], tuple[bytes, int]]
"""Gives up what a device has gathered for the console, with the host time of its last byte (monotonic ns)."""


class ConsoleInput(Protocol):
    """Input that arrives in virtual time, or, where it is live, when somebody types."""

    @property
    def is_live(self) -> bool:
        """Does only the host know when the next byte comes? Then looking is polling, and `wait` waits."""

    def next_arrival_ns(self, virtual_ns: int) -> int | None:
        """When to look for the next byte: at its virtual time, or, where it is live, at the next poll.

        A byte that waits to be taken has arrived already: then this lies in the past. None: none will.
        Asks the host nothing, so at that time there may turn out to be no byte, but the end.
        """

    def wait(self, timeout_s: float) -> bool:
        """Block for a live input's next byte or its end, at most so long. True when there may be one."""

    def take(self, virtual_ns: int, n_bytes: int) -> bytes:
        """At most n_bytes of what has arrived and was not taken yet."""

    def has_arrived(self, virtual_ns: int) -> bool:
        """Is there a byte to take?"""


class NoInput:
    """An input on which nothing ever arrives."""

    is_live = False

    def next_arrival_ns(self, virtual_ns: int) -> int | None:
        """Never."""
        return None

    def wait(self, timeout_s: float) -> bool:
        """There is nothing to wait for."""
        return False

    def take(self, virtual_ns: int, n_bytes: int) -> bytes:
        """Nothing."""
        return b""

    def has_arrived(self, virtual_ns: int) -> bool:
        """Never."""
        return False


class HostInput:
    """A host file descriptor as console input.

    A file's or a pipe's bytes arrive at fixed virtual times, byte k at START_NS + k * BYTE_NS, so that runs
    repeat; the host is waited for where a pipe is slow. A pipe that stays silent for SILENCE_S, and a
    terminal, are live: their bytes arrive when they are there. `is_live` says that a pipe is fed by one.
    """

    def __init__(self, fd: int, *, is_live: bool = False) -> None:
        self._fd = fd
        self.is_live = is_live or os.isatty(fd)
        self._buffer = bytearray()
        self._n_taken = 0
        self._at_end = False
        self._polled_ns = -POLL_NS

    def next_arrival_ns(self, virtual_ns: int) -> int | None:
        """When the next byte arrives, or the next poll is due; it may lie in the past."""
        if self._at_end and not self._buffer:
            return None
        if self.is_live:
            return virtual_ns if self._buffer else self._polled_ns + POLL_NS
        return START_NS + self._n_taken * BYTE_NS

    def wait(self, timeout_s: float) -> bool:
        """Block for what is typed next, at most so long. A pipe's bytes have their times: no waiting."""
        if self.is_live and not self._buffer:
            self._fill(timeout_s)
        return self._at_end or bool(self._buffer)

    def has_arrived(self, virtual_ns: int) -> bool:
        """Is there a byte to take at this virtual time?"""
        return self._n_arrived(virtual_ns, 1) > 0

    def take(self, virtual_ns: int, n_bytes: int) -> bytes:
        """Take what has arrived, at most n_bytes."""
        n = self._n_arrived(virtual_ns, n_bytes)
        taken = bytes(self._buffer[:n])
        del self._buffer[:n]
        self._n_taken += n
        return taken

    def _n_arrived(self, virtual_ns: int, n_wanted: int) -> int:
        if self.is_live:
            if not self._buffer:
                self._polled_ns = virtual_ns
                self._fill(0.0)
            return min(n_wanted, len(self._buffer))
        n_due = 0 if virtual_ns < START_NS else (virtual_ns - START_NS) // BYTE_NS + 1 - self._n_taken
        n_due = min(n_due, n_wanted)
        while len(self._buffer) < n_due and not self._at_end and not self.is_live:
            if not self._fill(SILENCE_S):
                self.is_live = True
        return max(0, min(n_due, len(self._buffer)))

    def _fill(self, timeout_s: float) -> bool:
        """Read what the host has; False when it had nothing within the time."""
        deadline = time.monotonic() + timeout_s
        while not self._at_end:
            left = max(0.0, deadline - time.monotonic())
            try:
                ready, _, _ = select.select([self._fd], [], [], left)
                if not ready:
                    return False
                data = os.read(self._fd, 65536)
            except (OSError, ValueError):
                data = b""
            self._buffer += data
            self._at_end = not data
            return True
        return True


class ConsoleOutput:
    """Where a guest's bytes go: kept (the first MAX_KEPT_BYTES of them), and handed on.

    A device whose native handler gathers bytes says so by `gather_from`. They come before whatever is written
    or read next, so their order is right; `flush` fetches them, as the run loop does when it has the CPU.
    """

    def __init__(self, sink: Callable[[bytes], object] | None = None, *, keep: bool = True) -> None:
        self._sink = sink
        self._kept = bytearray()
        self._keep = keep
        self._tail = b""
        self._gathered: Gathered | None = None
        self.n_bytes = 0
        self.last_write_host_ns = 0

    def gather_from(self, gathered: Gathered) -> None:
        """Name the one device that gathers bytes for this console."""
        self._gathered = gathered

    def flush(self) -> None:
        """Take what has been gathered."""
        if self._gathered is not None:
            data, host_ns = self._gathered()
            if data:
                self._put(data, host_ns)

    def write(self, data: bytes) -> None:
        """Take bytes from the guest."""
        self.flush()
        self._put(data, time.monotonic_ns())

    def _put(self, data: bytes, host_ns: int) -> None:
        self.n_bytes += len(data)
        self.last_write_host_ns = host_ns
        self._tail = (self._tail + data[-TAIL_BYTES:])[-TAIL_BYTES:]
        if self._keep:
            self._kept += data[: MAX_KEPT_BYTES - len(self._kept)]
        if self._sink is not None:
            self._sink(data)

    @property
    def tail(self) -> bytes:
        """The last TAIL_BYTES written, kept or not."""
        self.flush()
        return self._tail

    @property
    def data(self) -> bytes:
        """Everything written so far, where it is kept, and as far as it is."""
        self.flush()
        return bytes(self._kept)

    @property
    def text(self) -> str:
        """The same as text; bytes that are no UTF-8 are replaced."""
        return self.data.decode("utf-8", "replace")
