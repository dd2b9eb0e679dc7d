# SPDX-License-Identifier: GPL-2.0-or-later
"""A keyboard controller on a hand-moved clock, for tests of it."""

from __future__ import annotations

from pvisor.full.keyboard import KeyboardController
from pvisor.machine.console import ConsoleInput
from tests.machine.hand_clock import HandClock
from tests.machine.typed import Typed


class Rig:
    """A controller on a clock, with what it did to the world outside."""

    def __init__(self, input: ConsoleInput | None = None) -> None:
        self.clock = HandClock()
        self.levels = [False]
        self.n_resets = 0
        self.a20: list[bool] = []
        self.is_heard = True
        self.chip = KeyboardController(
            self._line, self.clock.timers, input or Typed(), self._reset, self.a20.append,
            lambda: self.is_heard,
        )  # fmt: skip

    def _line(self, level: bool) -> None:
        if level != self.levels[-1]:
            self.levels.append(level)

    def _reset(self) -> None:
        self.n_resets += 1

    @property
    def irq(self) -> bool:
        """The line now."""
        return self.levels[-1]

    def status(self) -> int:
        """IN 0x64."""
        return self.chip.command.read(0, 1)

    def command(self, value: int, *argument: int) -> None:
        """OUT 0x64, then OUT 0x60."""
        self.chip.command.write(0, 1, value)
        self.send(*argument)

    def send(self, *values: int) -> None:
        """OUT 0x60."""
        for value in values:
            self.chip.data.write(0, 1, value)

    def get(self) -> int:
        """IN 0x60."""
        return self.chip.data.read(0, 1)

    def drain(self) -> bytes:
        """All that there is to read."""
        data = bytearray()
        while self.status() & 1:
            data.append(self.get())
        return bytes(data)

    def ask(self, value: int, *argument: int) -> bytes:
        """A controller command and its whole answer."""
        self.command(value, *argument)
        return self.drain()

    def tell(self, *values: int) -> bytes:
        """Bytes to the keyboard and its whole answer."""
        self.send(*values)
        return self.drain()
