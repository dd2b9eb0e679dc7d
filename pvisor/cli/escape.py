# SPDX-License-Identifier: GPL-2.0-or-later
"""A terminal whose every key is the guest's (`--all-keys`), and the one combination that is not.

As under QEMU, Ctrl-A x ends the run and Ctrl-A a is a Ctrl-A for the guest. A thread reads the terminal, so
the way out is open whatever the guest does, even if it never looks at its console.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pvisor.machine.console import ConsoleInput, HostInput

ESCAPE = 0x01
"""Ctrl-A."""
MAX_WAITING_BYTES = 1 << 16
"""So much is read ahead of the guest, on top of what a pipe holds."""


class EscapeFilter:
    """Takes typed bytes and gives those that are the guest's; `leave` is called at Ctrl-A x."""

    def __init__(self, leave: Callable[[], object]) -> None:
        self._leave = leave
        self._is_escaped = False

    def feed(self, typed: bytes) -> bytes:
        """What the guest gets of some keys: Ctrl-A waits for the next one, and goes with any but a and x."""
        given = bytearray()
        for key in typed:
            if not self._is_escaped:
                self._is_escaped = key == ESCAPE
                if not self._is_escaped:
                    given.append(key)
                continue
            self._is_escaped = False
            if key in b"xX":
                self._leave()
            elif key in b"aA":
                given.append(ESCAPE)
            else:
                given += bytes((ESCAPE, key))
        return bytes(given)


@contextmanager
def filtered_terminal(fd: int, leave: Callable[[], object] | None = None) -> Iterator[ConsoleInput]:
    """A terminal as console input, read by a thread and filtered. Ctrl-A x is SIGINT to this process."""
    read_end, write_end = os.pipe()
    stop_read, stop_write = os.pipe()
    os.set_blocking(write_end, False)
    filter = EscapeFilter(leave or (lambda: os.kill(os.getpid(), signal.SIGINT)))
    thread = threading.Thread(target=_copy, args=(fd, write_end, stop_read, filter), daemon=True)
    thread.start()
    try:
        yield HostInput(read_end, is_live=True)
    finally:
        os.close(stop_write)
        thread.join()
        for end in (read_end, stop_read):
            os.close(end)


def _copy(source: int, target: int, stop: int, filter: EscapeFilter) -> None:
    """Copy until the source ends or nobody holds the other end of `stop`. The target is closed then."""
    waiting = bytearray()
    is_open = True
    try:
        while is_open or waiting:
            sources = [source] if is_open and len(waiting) < MAX_WAITING_BYTES else []
            readable, writable, _ = select.select([stop, *sources], [target] if waiting else [], [])
            if stop in readable:
                return
            if writable:
                del waiting[: os.write(target, waiting)]
            if readable:
                typed = _read(source)
                is_open = bool(typed)
                waiting += filter.feed(typed)
    finally:
        os.close(target)


def _read(fd: int) -> bytes:
    """What has been typed; nothing at the end, and when the terminal is gone."""
    try:
        return os.read(fd, 4096)
    except OSError:
        return b""
