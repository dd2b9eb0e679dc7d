# SPDX-License-Identifier: GPL-2.0-or-later
"""The local APIC's timer: a counter that runs down with the bus clock (SDM 3A 10.5.4).

The bus clock is 1 GHz of virtual time, as in QEMU. A period is exactly initial count times divisor. The
counter is computed when somebody looks; a deadline is kept only while the timer may interrupt. Periods that
end unseen, because the CPU was not asked meanwhile, are one interrupt: IRR has one bit a vector.

This room has no twin: a paravirtual guest sets its timer by hypercall, without an APIC.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pvisor.full.apic_registers import LVT_TIMER, MASKED, PERIODIC
from pvisor.machine.timers import Timer, Timers


def divisor(divide: int) -> int:
    """What the divide configuration register stands for: bits 3, 1 and 0 (SDM 3A figure 10-10)."""
    code = divide >> 1 & 4 | divide & 3
    return 1 if code == 7 else 2 << code


class ApicTimer:
    """The counter of the APIC with this pv_apic. `expire` is called when it reaches 0 and is not masked."""

    def __init__(self, timers: Timers, registers: Any, expire: Callable[[], object]) -> None:
        self._timers = timers
        self._registers = registers
        self._expire = expire
        self._count = 0  # at _since_ns; 0: stopped
        self._since_ns = 0
        self._deadline: Timer | None = None

    def start(self, initial_count: int) -> None:
        """Count from here; 0 stops the timer."""
        self._registers.initial_count = initial_count
        self._count, self._since_ns = initial_count, self._timers.now()
        self._schedule()

    def set_divide(self, divide: int) -> None:
        """Change the divide configuration register: the counter goes on from where it is."""
        self._settle()
        self._count, self._since_ns = self.current_count, self._timers.now()
        self._registers.divide = divide & 0xB
        self._schedule()

    def set_lvt(self, lvt: int) -> None:
        """Change the LVT entry: mask and mode count from now on."""
        self._settle()
        self._registers.lvt[LVT_TIMER] = lvt
        self._schedule()

    @property
    def current_count(self) -> int:
        """The current-count register."""
        if not self._count:
            return 0
        elapsed = self._elapsed
        if elapsed < self._count:
            return self._count - elapsed
        if not self._is_periodic:
            return 0
        initial: int = self._registers.initial_count
        return initial - (elapsed - self._count) % initial

    @property
    def _elapsed(self) -> int:
        return (self._timers.now() - self._since_ns) // divisor(self._registers.divide)

    @property
    def _is_periodic(self) -> bool:
        return bool(self._registers.lvt[LVT_TIMER] & PERIODIC)

    def _settle(self) -> None:
        """Account for every time that the counter has reached 0 since it was looked at."""
        if not self._count:
            return
        past = self._elapsed - self._count
        if past < 0:
            return
        if not self._is_periodic:
            self._count = 0
            return
        initial = self._registers.initial_count
        n_counts = self._count + past // initial * initial
        self._since_ns += n_counts * divisor(self._registers.divide)
        self._count = initial

    def _schedule(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self._count and not self._registers.lvt[LVT_TIMER] & MASKED:
            due_ns = self._since_ns + self._count * divisor(self._registers.divide)
            self._deadline = self._timers.at(due_ns, self._act)

    def _act(self) -> None:
        self._settle()
        self._schedule()
        self._expire()
