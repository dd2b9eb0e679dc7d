# SPDX-License-Identifier: GPL-2.0-or-later
"""Ending a PC: ACPI power-off at I/O port 0x604, and QEMU's isa-debug-exit at 0xf4. Twin of para/power.py.

0x604 is PM1a_CNT of the PIIX4 as QEMU's pc machine has it; S5 is sleep type 0 there (hw/acpi/piix4.c).
"""

from __future__ import annotations

from collections.abc import Callable

from pvisor.domain.outcome import EndedBy, Ending, debug_exit_status

PM1A_CNT = 0x604
DEBUG_EXIT = 0xF4
SLEEP_ENABLE = 1 << 13
SLEEP_TYPE = 7 << 10


class PowerControl:
    """PM1a_CNT: a 16-bit register whose SLP_EN bit switches the machine off."""

    widest_bytes = 2

    def __init__(self, end: Callable[[Ending], object]) -> None:
        self._end = end
        self._value = 1  # SCI_EN: ACPI is on

    def read(self, offset: int, size_bytes: int) -> int:
        """The register's bytes; SLP_EN reads as 0."""
        return self._value >> 8 * offset & ((1 << 8 * size_bytes) - 1)

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """Power off when SLP_EN is written with sleep type S5."""
        mask = ((1 << 8 * size_bytes) - 1) << 8 * offset
        written = self._value & ~mask | value << 8 * offset & mask
        self._value = written & ~SLEEP_ENABLE
        if written & SLEEP_ENABLE and not written & SLEEP_TYPE:
            self._end(Ending(EndedBy.GUEST, 0))


class DebugExit:
    """isa-debug-exit: a write of any width ends the run with ((value << 1) | 1) & 255."""

    widest_bytes = 4

    def __init__(self, end: Callable[[Ending], object]) -> None:
        self._end = end

    def read(self, offset: int, size_bytes: int) -> int:
        """Reads as 0, as QEMU's does."""
        return 0

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """End the run."""
        self._end(Ending(EndedBy.GUEST, debug_exit_status(value)))
