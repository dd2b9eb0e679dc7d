# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's console on the host: output without a buffer, stdin as it comes, a terminal made fit for it."""

from __future__ import annotations

import os
import select
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pvisor.machine.console import ConsoleInput, HostInput, NoInput

STDIN, STDOUT, STDERR = 0, 1, 2
CHUNK_BYTES = 4096
"""A pipe that can be written to at all takes this much at once (PIPE_BUF)."""
POLL_S = 0.1


class RawOutput:
    """Takes a guest's bytes to stdout (or stderr) at once. Raises BrokenPipeError when nobody reads any more.

    Where the reader is slow it waits, but no longer than until `interrupted`.
    """

    def __init__(self, interrupted: Callable[[], bool], fd: int = STDOUT) -> None:
        self._interrupted = interrupted
        self._fd = fd
        self._is_open = (sys.stdout if fd == STDOUT else sys.stderr) is not None
        self._is_mid_line = False

    def write(self, data: bytes) -> None:
        """Hand bytes on."""
        if not data or not self._is_open:
            return
        self._is_mid_line = data[-1:] != b"\n"
        rest = memoryview(data)
        while rest and self._is_writable():
            try:
                rest = rest[os.write(self._fd, rest[:CHUNK_BYTES]) :]
            except BlockingIOError:
                continue

    def _is_writable(self) -> bool:
        """Wait until bytes are taken; False when the run is to end."""
        while not select.select([], [self._fd], [], POLL_S)[1]:
            if self._interrupted():
                return False
        return True

    @property
    def needs_line_break(self) -> bool:
        """Would a message on stderr stand behind the guest's last words, on the same line?"""
        is_seen_there = self._fd == STDERR or (os.isatty(STDOUT) and os.isatty(STDERR))
        return self._is_mid_line and self._is_open and is_seen_there


def is_terminal(fd: int) -> bool:
    """Is stdout or stderr a terminal on which a cursor can be moved?"""
    stream = sys.stdout if fd == STDOUT else sys.stderr
    return stream is not None and os.isatty(fd) and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


@contextmanager
def console_input(*, all_keys: bool = False) -> Iterator[ConsoleInput]:
    """Stdin for the guest; nothing where the process was started without one.

    With `all_keys`, a terminal of ours is filtered: Ctrl-A x ends the run (escape.py).
    """
    if sys.stdin is None:
        yield NoInput()
    elif all_keys and _is_our_terminal():
        from pvisor.cli.escape import filtered_terminal

        with filtered_terminal(STDIN) as input:
            yield input
    else:
        yield HostInput(STDIN)


@contextmanager
def keys_as_typed(*, all_but_ctrl_c: bool = False, all_keys: bool = False) -> Iterator[None]:
    """A terminal on stdin hands over each key at once and shows none itself; put back afterwards.

    Ctrl-C and Ctrl-Z keep their meaning. Ctrl-\\ would end pvisor without putting anything back, so it goes
    to the guest; with `all_but_ctrl_c` so do Ctrl-Z, Ctrl-S, Ctrl-Q and Ctrl-V, with `all_keys` Ctrl-C as
    well. Nothing is changed where stdin is no terminal, or another job's.
    """
    if not _is_our_terminal():
        yield
        return
    before = termios.tcgetattr(STDIN)
    typed = termios.tcgetattr(STDIN)
    typed[3] &= ~(termios.ECHO | termios.ICANON)
    typed[6][termios.VMIN], typed[6][termios.VTIME] = 1, 0
    nothing = os.fpathconf(STDIN, "PC_VDISABLE").to_bytes(1, "little")
    typed[6][termios.VQUIT] = nothing
    if all_keys:
        typed[3] &= ~termios.ISIG
    if all_but_ctrl_c or all_keys:
        typed[0] &= ~termios.IXON
        typed[3] &= ~termios.IEXTEN
        typed[6][termios.VSUSP] = nothing
    termios.tcsetattr(STDIN, termios.TCSADRAIN, typed)
    try:
        yield
    finally:
        termios.tcsetattr(STDIN, termios.TCSADRAIN, before)


def _is_our_terminal() -> bool:
    """Is stdin a terminal, and ours to change?"""
    return sys.stdin is not None and os.isatty(STDIN) and not _is_in_background()


def _is_in_background() -> bool:
    """Does another job own the terminal? Then changing it would stop us."""
    try:
        return os.tcgetpgrp(STDIN) != os.getpgrp()
    except OSError:  # a terminal, but not the one that controls us: it has no jobs
        return False
