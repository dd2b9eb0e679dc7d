# SPDX-License-Identifier: GPL-2.0-or-later
"""A UART on a hand-moved clock, for tests of its registers."""

from __future__ import annotations

from pvisor.full.console import BAUD_CLOCK_HZ, Uart
from pvisor.machine.console import ConsoleInput, ConsoleOutput
from tests.machine.hand_clock import HandClock
from tests.machine.typed import Typed

RBR = THR = 0
IER, IIR, LCR, MCR, LSR, MSR, SCR = range(1, 8)
FCR = IIR
TIMEOUT_NS = 4 * 10 * 16 * 10**9 // BAUD_CLOCK_HZ
"""Four characters, 8N1 at 115200 baud."""


class Rig:
    """A UART on a clock; the levels that its line was set to, where they changed."""

    def __init__(self, input: ConsoleInput | None = None, *, awaits_driver: bool = False) -> None:
        self.clock = HandClock()
        self.output = ConsoleOutput()
        self.levels = [False]
        self.uart = Uart(
            self.output, input or Typed(), self.clock.timers, self._line, awaits_driver=awaits_driver
        )

    def _line(self, level: bool) -> None:
        if level != self.levels[-1]:
            self.levels.append(level)

    @property
    def irq(self) -> bool:
        """The line now."""
        return self.levels[-1]

    def get(self, register: int) -> int:
        """IN."""
        return self.uart.read(register, 1)

    def put(self, register: int, *values: int) -> None:
        """OUT."""
        for value in values:
            self.uart.write(register, 1, value)

    def set_8n1(self, fcr: int = 0) -> None:
        """115200 baud, 8 bits, no parity, one stop bit."""
        self.put(LCR, 0x83)
        self.put(0, 1)
        self.put(1, 0)
        self.put(LCR, 0x03)
        self.put(FCR, fcr)

    def receive(self, n: int) -> bytes:
        """Read so many bytes."""
        return bytes(self.get(RBR) for _ in range(n))
