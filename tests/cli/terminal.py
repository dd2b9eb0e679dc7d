# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands on a terminal of their own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from tests.cli.support import command, environment

LFLAG = 3


class Terminal:
    """A pvisor on a terminal of its own, as its controlling one."""

    def __init__(self, *words: str | Path, size: tuple[int, int], stderr: IO[bytes] | None) -> None:
        self.master, slave = pty.openpty()
        self.slave = slave
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.child = subprocess.Popen(
            command(*words), stdin=slave, stdout=slave, stderr=stderr or slave,
            env={**environment(), "TERM": "xterm-256color"}, start_new_session=True, preexec_fn=self._control,
        )  # fmt: skip
        self.text = b""

    def _control(self) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)

    def read_until(self, words: bytes) -> None:
        """Wait for words on the screen."""
        deadline = time.monotonic() + 30
        while words not in self.text:
            assert time.monotonic() < deadline, self.text
            self._read(0.1)

    def read_until_mode(self, is_right: Callable[[list[Any]], object]) -> None:
        """Wait until the terminal's attributes are as they shall be."""
        deadline = time.monotonic() + 30
        while not is_right(termios.tcgetattr(self.slave)):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def wait_for_keys_as_typed(self) -> None:
        """Wait until the guest gets the keys."""
        self.read_until_mode(lambda mode: not mode[LFLAG] & (termios.ECHO | termios.ICANON))
        assert termios.tcgetattr(self.slave)[LFLAG] & termios.ISIG

    def wait(self) -> int:
        """The command's status. What it still says is read; a terminal holds only so much."""
        while self.child.poll() is None:
            self._read(0.1)
        while self._read(0.1):
            pass
        return self.child.returncode

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self.master], [], [], timeout_s)[0]:
            return False
        self.text += os.read(self.master, 4096)
        return True

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.master, keys)

    def close(self) -> None:
        """End all."""
        with contextlib.suppress(ProcessLookupError):
            self.child.kill()
        self.child.wait()
        os.close(self.master)
        os.close(self.slave)


@contextlib.contextmanager
def terminal(
    *words: str | Path, size: tuple[int, int] = (40, 100), stderr: IO[bytes] | None = None
) -> Iterator[Terminal]:
    """A terminal of so many lines and columns for the time of a test; `stderr` may be a file instead."""
    it = Terminal(*words, size=size, stderr=stderr)
    try:
        yield it
    finally:
        it.close()
