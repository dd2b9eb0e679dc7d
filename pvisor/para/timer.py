# SPDX-License-Identifier: GPL-2.0-or-later
"""Paravirtual time: asked for by hypercall, read in the shared page, signalled by an event.

Twin of full/timer.py, the 8254.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pvisor.abi.areas import time as rows
from pvisor.abi.layout import pack
from pvisor.cpu.vcpu import Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.machine.alarm import Alarm
from pvisor.machine.timers import Timers
from pvisor.para.hypercalls import Served
from pvisor.para.refusal import copy_out, invalid

MIN_PERIOD_NS = rows.TIMER_MIN_PERIOD_NS.number
MAX_PERIOD_NS = 1 << 62
Signal = Callable[[int], object]
"""Signals PV_VIRQ_TIMER of a vCPU, by its number."""


def time_get(domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
    """TIME_GET(time): 0, and the time of this call in *time."""
    wall_s, wall_ns = domain.wall_clock.at(exit.virtual_ns)
    now = pack("pv_time", system_ns=exit.virtual_ns, wall_s=wall_s, wall_ns=wall_ns)
    copy_out(domain, vcpu, exit.args[0], now)
    return 0


SERVED = Served(answers={rows.TIME_GET: time_get})


class VcpuTimer:
    """One vCPU's timers: one that signals once, and one that goes on."""

    def __init__(self, timers: Timers, signal: Callable[[], object]) -> None:
        self._timers = timers
        self._signal = signal
        self._once = Alarm(timers, signal)
        self._again = Alarm(timers, self._tick)
        self._period_ns = 0
        self._next_ns = 0

    def set(self, due_ns: int) -> None:
        """Signal at this virtual time; 0: not at all."""
        self._once.drop()
        if due_ns:
            self._once.set(due_ns)

    def set_periodic(self, period_ns: int) -> None:
        """Signal each period from now on; 0: no more."""
        self._again.drop()
        self._period_ns = period_ns
        if period_ns:
            self._next_ns = self._timers.now() + period_ns
            self._again.set(self._next_ns)

    def _tick(self) -> None:
        """One signal for all the periods that have passed; the next comes at a multiple of the period."""
        late_ns = max(0, self._timers.now() - self._next_ns)
        self._next_ns += self._period_ns * (1 + late_ns // self._period_ns)
        self._again.set(self._next_ns)
        self._signal()


@dataclass(slots=True)
class TimerRoom:
    """The timers of a domain's vCPUs. `signal` is told whose timer has come."""

    signal: Signal
    _timers: dict[int, VcpuTimer] = field(default_factory=dict)

    @property
    def served(self) -> Served:
        """The calls of this room."""
        return Served(answers={rows.TIMER_ONCE: self.timer_once, rows.TIMER_PERIODIC: self.timer_periodic})

    def timer_once(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """TIMER_ONCE(due_ns): 0."""
        self._of(domain, vcpu.vcpu_id).set(exit.args[0])
        return 0

    def timer_periodic(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """TIMER_PERIODIC(period_ns): 0."""
        period_ns = exit.args[0]
        if period_ns and not MIN_PERIOD_NS <= period_ns <= MAX_PERIOD_NS:
            raise invalid()
        self._of(domain, vcpu.vcpu_id).set_periodic(period_ns)
        return 0

    def stop(self, vcpu_id: int) -> None:
        """A vCPU goes down: its timers are off."""
        timer = self._timers.pop(vcpu_id, None)
        if timer is not None:
            timer.set(0)
            timer.set_periodic(0)

    def _of(self, domain: Domain, vcpu_id: int) -> VcpuTimer:
        timer = self._timers.get(vcpu_id)
        if timer is None:
            timer = self._timers[vcpu_id] = VcpuTimer(domain.timers, lambda: self.signal(vcpu_id))
        return timer
