# SPDX-License-Identifier: GPL-2.0-or-later
"""A local APIC with everything around it, for its tests."""

from __future__ import annotations

from pvisor.full.apic import LocalApic
from tests.machine.hand_clock import HandClock

ENABLED = 0xFEE0_0900
MASKED, PERIODIC = 1 << 16, 1 << 17


class Board:
    """A local APIC with everything around it."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.asked = False
        self.pic_vector = 0x08
        self.ended: list[int] = []
        self.n_nmis = 0
        self.apic = LocalApic(
            self.clock.timers, self._ask, self._acknowledge_pic, self.ended.append, self._nmi
        )

    def _ask(self, level: bool) -> None:
        assert level != self.asked, "the line is told changes only"
        self.asked = level

    def _acknowledge_pic(self) -> int:
        self.apic.lint0(False)
        return self.pic_vector

    def _nmi(self) -> None:
        self.n_nmis += 1

    def __getitem__(self, offset: int) -> int:
        return self.apic.read(offset, 4)

    def __setitem__(self, offset: int, value: int) -> None:
        self.apic.write(offset, 4, value)

    def ipi(self, low: int, destination: int = 0) -> None:
        """Write ICR."""
        self[0x310] = destination << 24
        self[0x300] = low

    def requested(self, first: int = 0x200) -> set[int]:
        """The vectors in IRR, or in ISR at 0x100, or in TMR at 0x180."""
        return {32 * i + bit for i in range(8) for bit in range(32) if self[first + 16 * i] >> bit & 1}

    def errors(self) -> int:
        """ESR, brought up to date by a write."""
        self[0x280] = 0
        return self[0x280]

    def reset(self) -> None:
        """Through IA32_APIC_BASE, off and on: the state after power-up."""
        assert self.apic.write_base(ENABLED & ~0x800)
        assert self.apic.write_base(ENABLED)
