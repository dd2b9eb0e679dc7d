# SPDX-License-Identifier: GPL-2.0-or-later
"""Ending a PC: ACPI power-off at I/O port 0x604, and QEMU's isa-debug-exit at 0xf4. Twin of para/power.py.

The registers of power management are PIIX4's, where QEMU's pc machine has them: PM1a event and control
blocks, the PM timer, and the APM control port that switches ACPI on. S5 is sleep type 0 there
(hw/acpi/piix4.c). Bits are those of the ACPI specification 6.5, 4.8.3. There is no power button: only the
timer raises the SCI.
"""

from __future__ import annotations

from collections.abc import Callable

from pvisor.domain.outcome import EndedBy, Ending, debug_exit_status
from pvisor.machine.lines import Line
from pvisor.machine.timers import Timer, Timers

PM1A_EVT, PM1A_CNT, PM_TMR = 0x600, 0x604, 0x608
PM1A_EVT_BYTES, PM1A_CNT_BYTES, PM_TMR_BYTES = 4, 2, 4
APM_CONTROL, APM_BYTES = 0xB2, 2
ACPI_ENABLE, ACPI_DISABLE = 0xF1, 0xF0
SCI_IRQ = 9
DEBUG_EXIT = 0xF4

SCI_ENABLE = 1 << 0
SLEEP_ENABLE = 1 << 13
SLEEP_TYPE = 7 << 10

TIMER_HZ = 3_579_545
TIMER_MASK = 0xFF_FFFF
HALF_PERIOD = 0x80_0000
"""Ticks from one change of the timer's highest bit to the next (4.8.3.3)."""
TIMER_EVENT = 1 << 0
RAISING_SCI = 1 << 0 | 1 << 5 | 1 << 8 | 1 << 10
"""Timer, global lock, power button, RTC."""


class PowerControl:
    """PM1a_CNT: a 16-bit register whose SLP_EN bit switches the machine off."""

    widest_bytes = 2

    def __init__(self, end: Callable[[Ending], object]) -> None:
        self._end = end
        self._value = 0

    def read(self, offset: int, size_bytes: int) -> int:
        """The register's bytes; SLP_EN reads as 0."""
        return _bytes_of(self._value, offset, size_bytes)

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """Power off when SLP_EN is written with sleep type S5."""
        written = _with_bytes(self._value, offset, size_bytes, value) & 0xFFFF
        self._value = written & ~SLEEP_ENABLE
        if written & SLEEP_ENABLE and not written & SLEEP_TYPE:
            self._end(Ending(EndedBy.GUEST, 0))

    def enable_acpi(self, on: bool) -> None:
        """Set or clear SCI_EN, as firmware does for a guest that asks (`ApmControl`)."""
        self._value = self._value | SCI_ENABLE if on else self._value & ~SCI_ENABLE


class ApmControl:
    """APM control and status, I/O ports 0xb2 and 0xb3: two bytes that can be read back (hw/isa/apm.c).

    ACPI_ENABLE and ACPI_DISABLE act at once, without an SMI.
    """

    widest_bytes = 1

    def __init__(self, control: PowerControl) -> None:
        self._control = control
        self._values = bytearray(APM_BYTES)

    def read(self, offset: int, size_bytes: int) -> int:
        """What was written last."""
        return self._values[offset]

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """Keep the byte; at the control port, act on it."""
        self._values[offset] = value & 0xFF
        if offset == 0 and value in (ACPI_ENABLE, ACPI_DISABLE):
            self._control.enable_acpi(value == ACPI_ENABLE)


class PmTimer:
    """PM_TMR: 24 bits that count at 3.579545 MHz of virtual time; writing has no effect."""

    widest_bytes = 4

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now

    @property
    def ticks(self) -> int:
        """Ticks since the machine's start, not cut to 24 bits."""
        return self._now() * TIMER_HZ // 1_000_000_000

    def read(self, offset: int, size_bytes: int) -> int:
        """The count's bytes; the highest byte is 0."""
        return _bytes_of(self.ticks & TIMER_MASK, offset, size_bytes)

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """Nothing."""


class PowerEvents:
    """PM1a_EVT: status, cleared by writing ones, and enable; together they drive the SCI.

    TMR_STS is set whenever the timer's highest bit changes. At the start no event has happened.
    """

    widest_bytes = 4

    def __init__(self, timers: Timers, pm_timer: PmTimer, sci: Line) -> None:
        self._timers = timers
        self._pm_timer = pm_timer
        self._sci = sci
        self._enabled = 0
        self._next_change = HALF_PERIOD
        self._alarm: Timer | None = None

    def read(self, offset: int, size_bytes: int) -> int:
        """Status at offset 0, enable at 2."""
        return _bytes_of(self._status() | self._enabled << 16, offset, size_bytes)

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """Clear the status bits that are written as ones; set the enable bits."""
        status = self._status()
        both = _with_bytes(self._enabled << 16, offset, size_bytes, value)
        if status & both & TIMER_EVENT:
            self._next_change = (self._pm_timer.ticks // HALF_PERIOD + 1) * HALF_PERIOD
        self._enabled = both >> 16 & 0xFFFF
        self._update()

    def _status(self) -> int:
        return TIMER_EVENT if self._pm_timer.ticks >= self._next_change else 0

    def _update(self) -> None:
        """Tell the line its level, and be back when the timer changes it."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        raised = self._status() & self._enabled & RAISING_SCI
        self._sci(bool(raised))
        if self._enabled & TIMER_EVENT and not raised:
            due_ns = -(-self._next_change * 1_000_000_000 // TIMER_HZ)
            self._alarm = self._timers.at(due_ns, self._update)


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


def _bytes_of(value: int, offset: int, size_bytes: int) -> int:
    """Part of a register."""
    return value >> 8 * offset & ((1 << 8 * size_bytes) - 1)


def _with_bytes(value: int, offset: int, size_bytes: int, part: int) -> int:
    """A register with a part of it replaced."""
    mask = ((1 << 8 * size_bytes) - 1) << 8 * offset
    return value & ~mask | part << 8 * offset & mask
