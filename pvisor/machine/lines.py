# SPDX-License-Identifier: GPL-2.0-or-later
"""Interrupt lines: how a device asks for attention, without knowing who listens.

A line is a function that is told the level: a device holds its line high as long as it wants something. What
edges and levels mean is the controller's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Line = Callable[[bool], object]
"""Sets a line's level: True is asserted. Telling it the same level again has no effect."""


def unconnected(level: bool) -> None:
    """A line that leads nowhere."""


def fan_out(*lines: Line) -> Line:
    """One wire to several controllers, as an ISA interrupt goes to the 8259 and to the I/O APIC."""

    def set_level(level: bool) -> None:
        for line in lines:
            line(level)

    return set_level


def shared(line: Line, n_devices: int) -> list[Line]:
    """One line for several devices: it is high while any of them holds it so."""
    levels = [False] * n_devices

    def setter(index: int) -> Line:
        def set_level(level: bool) -> None:
            levels[index] = level
            line(any(levels))

        return set_level

    return [setter(index) for index in range(n_devices)]


class InterruptSource(Protocol):
    """A controller as the CPU sees it: it asserts the CPU's line, and names the vector when it is asked."""

    def acknowledge(self) -> int:
        """The interrupt-acknowledge cycle: the vector to deliver. The CPU's line is set anew by this."""
