# SPDX-License-Identifier: GPL-2.0-or-later
"""`--realtime`: virtual time goes with the host's clock, which is a clock of ours here."""

from __future__ import annotations

from pvisor.domain.outcome import Ending
from pvisor.machine.timers import Timers
from pvisor.vmm.credit import Account
from pvisor.vmm.loop import RunLoop
from pvisor.vmm.pace import MAX_SLEEP_S, STEP_NS, Pace
from pvisor.vmm.physical_cpu import PhysicalCpu
from tests.domain.fakes import FakeVcpu, para_domain
from tests.vmm.test_waiting import MS, Sleeper


class Host:
    """A clock that goes on when it is slept for, and when it is told to."""

    def __init__(self) -> None:
        self.now_ns = 5_000_000_000
        self.sleeps_s: list[float] = []

    def clock_ns(self) -> int:
        return self.now_ns

    def sleep_s(self, span_s: float) -> None:
        self.sleeps_s.append(span_s)
        self.now_ns += round(span_s * 1e9)


class OneStep(PhysicalCpu):
    """A CPU whose steps take no time of the host; nobody is on it, or somebody who runs all the time."""

    def __init__(self, runs_ns: int) -> None:
        super().__init__()
        self.runs_ns = runs_ns
        self.limits_ns: list[int] = []
        domain, _ = para_domain()
        vcpu = FakeVcpu(domain.memory, ())
        domain.timers = Timers(lambda: vcpu.virtual_ns)
        self.add(domain, [vcpu], Account(), on_kick=lambda: None, drain_trace=lambda vcpu: lambda: None)

    def run(self, limit_ns: int = 0) -> None:
        self.limits_ns.append(limit_ns)
        self.advance(self.now() + self.runs_ns)


def test_a_guest_that_computes_slower_than_time_passes_is_set_forward() -> None:
    host, cpu = Host(), OneStep(MS)
    pace = Pace(cpu, host.clock_ns, host.sleep_s)
    host.now_ns += 3 * MS
    pace.step()
    assert (cpu.now(), host.sleeps_s) == (3 * MS, [])
    host.now_ns += 5 * MS
    pace.step()
    assert (cpu.now(), host.sleeps_s) == (8 * MS, [])
    assert cpu.limits_ns == [STEP_NS, 3 * MS + STEP_NS]


def test_one_that_is_faster_waits() -> None:
    host, cpu = Host(), OneStep(MS)
    pace = Pace(cpu, host.clock_ns, host.sleep_s)
    pace.step()
    pace.step()
    assert (cpu.now(), host.sleeps_s) == (2 * MS, [0.001, 0.001])
    cpu.runs_ns = 10**12
    pace.step()
    assert host.sleeps_s[-1] == MAX_SLEEP_S, "a signal is heard in between"


def test_a_guest_sleeps_as_long_as_the_host_says() -> None:
    sleeper = Sleeper()
    sleeper.loop = RunLoop(
        sleeper.domain, sleeper.vcpu, on_kick=no_ending, drain_trace=lambda: None, realtime=True
    )
    sleeper.timers.at(250 * MS, sleeper.wake)
    ending, took_s = sleeper.run()
    assert ending.status == 0
    assert sleeper.vcpu.virtual_ns >= 250 * MS and took_s >= 0.24


def test_a_vcpu_in_the_midst_of_its_turn_is_set_forward() -> None:
    cpu = OneStep(0)
    runner = cpu.members[0].runners[0]
    cpu.queue.pick(0)
    cpu._begin(runner)
    cpu.set_forward(7 * MS)
    assert runner.vcpu.virtual_ns == cpu.now() == 7 * MS


def no_ending() -> Ending | None:
    return None
