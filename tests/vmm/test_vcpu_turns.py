# SPDX-License-Identifier: GPL-2.0-or-later
"""Several vCPUs of one domain on a physical CPU: up, down, by turns, on one clock."""

from __future__ import annotations

from itertools import pairwise

from pvisor.domain.scheduling import VcpuState
from pvisor.vmm.physical_cpu import PhysicalCpu
from tests.vmm.timed import MS, US, Guest, Program, give_way, off, sleep, spin


def test_vcpus_of_a_domain_take_turns() -> None:
    cpu = PhysicalCpu()
    guest = Guest(cpu, spin(5 * MS), spin(100 * MS))
    guest.member.up(1)
    cpu.run()
    assert guest.vcpus[0].n_instructions == 5 * MS
    assert 4 * MS <= guest.vcpus[1].n_instructions <= 5 * MS


def test_timers_go_by_the_cpus_clock_whichever_vcpu_runs() -> None:
    cpu = PhysicalCpu()
    came: list[int] = []

    def sleeper() -> Program:
        yield sleep()
        yield off()

    guest = Guest(cpu, sleeper(), spin(5 * MS, 5 * MS))
    timers = guest.domain.timers
    timers.at(3 * MS, lambda: came.append(timers.now()))
    guest.member.up(1)
    cpu.run()
    assert came == [3 * MS]


def test_a_vcpu_goes_down_and_up() -> None:
    cpu = PhysicalCpu()
    states: list[VcpuState] = []

    def first() -> Program:
        yield MS
        guest.member.up(1)
        guest.member.up(1)
        yield 3 * MS
        states.append(guest.member.times(1).state)
        guest.member.down(1)
        states.append(guest.member.times(1).state)
        yield 3 * MS
        guest.member.up(1)
        yield 3 * MS
        yield off()

    guest = Guest(cpu, first(), spin(100 * MS))
    cpu.run()
    assert states == [VcpuState.RUNNABLE, VcpuState.DOWN]
    turns = guest.vcpus[1].turns
    assert turns[0][0] == MS, "the first one has had a slice"
    gaps = [after[0] - before[1] for before, after in pairwise(turns)]
    assert max(gaps) >= 3 * MS
    times = guest.member.times(1)
    assert times.run_ns == guest.vcpus[1].n_instructions


def test_one_that_goes_down_keeps_what_was_stolen_from_it() -> None:
    cpu = PhysicalCpu()

    def first() -> Program:
        guest.member.up(1)
        yield 400 * US
        guest.member.down(1)
        yield MS
        yield off()

    guest = Guest(cpu, first(), spin(MS))
    cpu.run()
    assert guest.member.times(1).steal_ns == 400 * US
    assert not guest.vcpus[1].turns


def test_a_vcpu_that_stops_itself_takes_no_more_turns() -> None:
    cpu = PhysicalCpu()

    def first() -> Program:
        guest.member.up(1)
        yield 100 * US
        guest.member.down(0)
        yield sleep()
        raise AssertionError("it runs on")

    guest = Guest(cpu, first(), spin(2 * MS))
    cpu.run()
    assert guest.domain.ending is not None
    assert guest.vcpus[0].n_instructions == 100 * US
    assert guest.member.times(0).run_ns == 100 * US


def test_a_woken_vcpu_that_is_down_stays_down() -> None:
    cpu = PhysicalCpu()
    guest = Guest(cpu, spin(2 * MS), spin(MS))
    guest.wake_at(MS, vcpu_id=1)
    cpu.run()
    assert not guest.vcpus[1].turns


def test_one_vcpu_yields_to_the_other() -> None:
    cpu = PhysicalCpu()
    order: list[int] = []

    def polite(me: int) -> Program:
        for _ in range(3):
            order.append(me)
            yield US
            yield give_way()
        yield off() if me else sleep()

    guest = Guest(cpu, polite(0), polite(1))
    guest.member.up(1)
    cpu.run()
    assert order == [0, 1, 0, 1, 0, 1]
