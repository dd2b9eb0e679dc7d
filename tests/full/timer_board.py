# SPDX-License-Identifier: GPL-2.0-or-later
"""An 8254 on a bus, for its tests."""

from __future__ import annotations

from pvisor.full.timer import HZ, IOPORT, N_IOPORTS, Pit
from pvisor.machine.ioports import IoPortBus
from tests.machine.hand_clock import HandClock

NS_PER_S = 1_000_000_000
LSB, MSB, WORD = 0x10, 0x20, 0x30
BCD = 1
OUT, NULL_COUNT = 0x80, 0x40


def ns(ticks: int) -> int:
    """When tick n comes, counted from the writing of a count."""
    return -(-ticks * NS_PER_S // HZ)


class PitBoard:
    """An 8254 on a bus, with a record of what IRQ 0 did and when."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.irq: list[tuple[int, bool]] = []
        self.level = False
        self.pit = Pit(self.clock.timers, self._irq)
        self.bus = IoPortBus()
        self.bus.attach(IOPORT, N_IOPORTS, self.pit)

    def _irq(self, level: bool) -> None:
        if level != self.level:
            self.irq.append((self.clock.now_ns, level))
            self.level = level

    @property
    def rises(self) -> list[int]:
        return [at for at, level in self.irq if level]

    def control(self, value: int) -> None:
        self.bus.write(0x43, 1, value)

    def program(self, counter: int, mode: int, count: int, flags: int = WORD) -> None:
        """A control word and the bytes of a count; `flags` are access and BCD."""
        self.control(counter << 6 | flags | mode << 1)
        self.count(counter, count, flags & WORD)

    def count(self, counter: int, count: int, access: int = WORD) -> None:
        if access & LSB:
            self.bus.write(0x40 + counter, 1, count & 0xFF)
        if access & MSB:
            self.bus.write(0x40 + counter, 1, count >> 8)

    def value(self, counter: int) -> int:
        """Latch and read two bytes."""
        self.control(counter << 6)
        return self.byte(counter) | self.byte(counter) << 8

    def byte(self, counter: int) -> int:
        return self.bus.read(0x40 + counter, 1)

    def status(self, counter: int) -> int:
        self.control(0xE0 | 2 << counter)
        return self.byte(counter)

    def out(self, counter: int) -> bool:
        return bool(self.status(counter) & OUT)

    def to(self, ticks: int, start_ns: int = 0) -> None:
        """Let time pass up to a tick after `start_ns`."""
        self.clock.advance(start_ns + ns(ticks) - self.clock.now_ns)
