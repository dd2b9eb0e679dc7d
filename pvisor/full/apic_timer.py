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
from pvisor.machine.timers import Timers


def divisor(divide: int) -> int:
    """What the divide configuration register stands for: bits 3, 1 and 0 (SDM 3A figure 10-10)."""
    code = divide >> 1 & 4 | divide & 3
    return 1 if code == 7 else 2 << code


class ApicTimer:
    """The counter of the APIC with this pv_apic: it was `count` at `since_ns`.

    `expire` is called when it reaches 0 and is not masked.
    """

    def __init__(self, timers: Timers, registers: Any, expire: Callable[[], object]) -> None:
        self._timers = timers
        self._registers = registers
        self._expire = expire
        self._deadline = timers.own(self._act)
        registers.deadline = self._deadline.index

    def start(self, initial_count: int) -> None:
        """Count from here; 0 stops the timer."""
        r = self._registers
        r.initial_count = r.count = initial_count
        r.since_ns = self._timers.now()
        self._schedule()

    def set_divide(self, divide: int) -> None:
        """Change the divide configuration register: the counter goes on from where it is."""
        self._settle()
        r = self._registers
        r.count, r.since_ns = self.current_count, self._timers.now()
        r.divide = divide & 0xB
        self._schedule()

    def set_lvt(self, lvt: int) -> None:
        """Change the LVT entry: mask and mode count from now on."""
        self._settle()
        self._registers.lvt[LVT_TIMER] = lvt
        self._schedule()

    @property
    def current_count(self) -> int:
        """The current-count register."""
        r = self._registers
        if not r.count:
            return 0
        elapsed = self._elapsed
        if elapsed < r.count:
            return int(r.count - elapsed)
        if not self._is_periodic:
            return 0
        return int(r.initial_count - (elapsed - r.count) % r.initial_count)

    @property
    def _elapsed(self) -> int:
        r = self._registers
        return int((self._timers.now() - r.since_ns) // divisor(r.divide))

    @property
    def _is_periodic(self) -> bool:
        return bool(self._registers.lvt[LVT_TIMER] & PERIODIC)

    def _settle(self) -> None:
        """Account for every time that the counter has reached 0 since it was looked at."""
        r = self._registers
        if not r.count:
            return
        past = self._elapsed - r.count
        if past < 0:
            return
        if not self._is_periodic:
            r.count = 0
            return
        n_counts = r.count + past // r.initial_count * r.initial_count
        r.since_ns += n_counts * divisor(r.divide)
        r.count = r.initial_count

    def _schedule(self) -> None:
        r = self._registers
        runs = r.count and not r.lvt[LVT_TIMER] & MASKED
        self._deadline.set(r.since_ns + r.count * divisor(r.divide) if runs else None)

    def _act(self) -> None:
        self._settle()
        self._schedule()
        self._expire()
