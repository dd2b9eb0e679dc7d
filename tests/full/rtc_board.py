# SPDX-License-Identifier: GPL-2.0-or-later
"""A real-time clock on a bus, for its tests."""

from __future__ import annotations

from datetime import datetime, timezone

from pvisor.full.rtc import IOPORT, N_IOPORTS, Rtc
from pvisor.machine.clock import NS_PER_S, WallClock
from pvisor.machine.ioports import IoPortBus
from tests.machine.hand_clock import HandClock

MIB, GIB = 1 << 20, 1 << 30
MS, US = 1_000_000, 1000
A, B, C, D = 10, 11, 12, 13
UIP = 0x80
SET, PIE, AIE, UIE, BINARY, HOURS_24 = 0x80, 0x40, 0x20, 0x10, 0x04, 0x02
IRQF, PF, AF, UF = 0x80, 0x40, 0x20, 0x10
TIME = (0x04, 0x02, 0x00)  # hours, minutes, seconds
DATE = (0x32, 0x09, 0x08, 0x07)  # century, year, month, day


class RtcBoard:
    """An RTC on a bus, beginning at a date, with a record of when IRQ 8 rose."""

    def __init__(self, start: str = "2026-01-01T00:00:00", memory_bytes: int = 64 * MIB) -> None:
        self.clock = HandClock()
        self.level = False
        self.rises: list[int] = []
        epoch_s = int(datetime.fromisoformat(start).replace(tzinfo=timezone.utc).timestamp())
        self.rtc = Rtc(WallClock(epoch_s), self.clock.timers, self._irq, memory_bytes)
        self.bus = IoPortBus()
        self.bus.attach(IOPORT, N_IOPORTS, self.rtc)

    def _irq(self, level: bool) -> None:
        if level and not self.level:
            self.rises.append(self.clock.now_ns)
        self.level = level

    def get(self, *indices: int) -> int:
        """Registers, the first one highest."""
        value = 0
        for index in indices:
            self.bus.write(0x70, 1, index)
            value = value << 8 | self.bus.read(0x71, 1)
        return value

    def put(self, index: int, value: int) -> None:
        self.bus.write(0x70, 1, index)
        self.bus.write(0x71, 1, value)

    def advance_s(self, seconds: float) -> None:
        self.clock.advance(round(seconds * NS_PER_S))

    def stamp(self) -> str:
        """Date and time in BCD, as text."""
        return f"{self.get(*DATE):08x} {self.get(*TIME):06x}"
