# SPDX-License-Identifier: GPL-2.0-or-later
"""Odd bits of a PC's board: system control ports A (0x92) and B (0x61), as the PIIX3 data sheet has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pvisor.cpu.shim import ffi
from pvisor.full.timer import HZ
from pvisor.machine.clock import NS_PER_S
from pvisor.machine.lines import Line

CONTROL_A, CONTROL_B = 0x92, 0x61

A_FAST_RESET, A_A20 = 0x01, 0x02

B_GATE, B_SPEAKER = 0x01, 0x02
B_ENABLES = 0x0C
"""PCI SERR# and ISA IOCHK# as sources of an NMI: kept, and without effect, as neither ever happens."""
B_REFRESH, B_OUTPUT = 0x10, 0x20
REFRESH_TICKS = 18
"""PC hardware refreshed memory every 18 ticks of the 8254, 15.086 microseconds; each turns the bit over."""


def new_board_state() -> Any:
    """The struct of the board's odd bits (native/platform_state.h), as at the start."""
    return ffi.new("pv_platform *", {"post_code": -1})


class SystemControlA:
    """I/O port 0x92: the A20 gate, and a reset by writing bit 0 from 0 to 1.

    `a20` is told the gate with each write, `reset` is called when it is asked for. The port begins as SeaBIOS
    leaves it, with A20 on. The other bits mean nothing and read as they were written, as in QEMU.
    """

    widest_bytes = 1

    def __init__(self, a20: Line, reset: Callable[[], object]) -> None:
        self._a20 = a20
        self._reset = reset
        self._value = A_A20

    def read(self, offset: int, size_bytes: int) -> int:
        """What was written."""
        return self._value

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """Switch the gate, and reset."""
        asks_for_reset = value & ~self._value & A_FAST_RESET
        self._value = value
        self._a20(bool(value & A_A20))
        if asks_for_reset:
            self._reset()


class SystemControlB:
    """I/O port 0x61: counter 2's gate and output, the speaker (silent), and the refresh bit.

    `gate` and `output` are the 8254's, `now` gives virtual nanoseconds. The port begins with all off, as
    SeaBIOS leaves it. The refresh bit follows virtual time, as programs wait by it; QEMU turns it over with
    each read. `state` is the board's struct that native handlers share (PV_DEVICE_PLATFORM).
    """

    widest_bytes = 1

    def __init__(self, gate: Line, output: Callable[[], bool], now: Callable[[], int], state: Any) -> None:
        self._gate = gate
        self._output = output
        self._now = now
        self._state = state

    def read(self, offset: int, size_bytes: int) -> int:
        """What was written to bits 0 to 3, refresh, and output; bits 6 and 7, sources of an NMI, are 0."""
        n_refreshes = self._now() * HZ // (REFRESH_TICKS * NS_PER_S)
        written = int(self._state.port_b)
        return written | (B_REFRESH if n_refreshes & 1 else 0) | (B_OUTPUT if self._output() else 0)

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        """Bits 0 to 3; the others are not for writing."""
        self._state.port_b = value & (B_GATE | B_SPEAKER | B_ENABLES)
        self._gate(bool(value & B_GATE))
