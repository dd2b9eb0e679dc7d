# SPDX-License-Identifier: GPL-2.0-or-later
"""Two I/O ports that only tell: the power-on self-test code at 0x80, and a debug console at 0xe9.

0x80 is also the usual way to wait for about a microsecond. As in QEMU's pc machine it reads all ones, and
what is written shows nowhere but on a test card; `code` is that card. 0xe9 is QEMU's isa-debugcon, which a
stock machine does not have: attach it where it is wanted. This room has no twin: a hypercall writes text.
"""

from __future__ import annotations

from typing import Any

from pvisor.machine.console import ConsoleOutput

POST_CODE = 0x80
DEBUG_CONSOLE = 0xE9
DEBUG_CONSOLE_PRESENT = 0xE9
"""What a read of the debug console gives, so that a guest can find it."""


class PostCode:
    """The I/O port 0x80. `state` is the board's struct, which native handlers share (platform.py)."""

    widest_bytes = 1

    def __init__(self, state: Any) -> None:
        self._state = state

    @property
    def code(self) -> int | None:
        """The byte that was written last, None before."""
        return None if self._state.post_code < 0 else int(self._state.post_code)

    def read(self, offset: int, size_bytes: int) -> int:
        """All ones."""
        return 0xFF

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """Show a code."""
        self._state.post_code = value


class DebugConsole:
    """A byte written is a byte of output, at once."""

    widest_bytes = 1

    def __init__(self, output: ConsoleOutput) -> None:
        self._output = output

    def read(self, offset: int, size_bytes: int) -> int:
        """0xe9: a debug console is here."""
        return DEBUG_CONSOLE_PRESENT

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """Put out a byte."""
        self._output.write(bytes((value,)))
