# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns on a physical CPU: one clock for all, everybody's times, who wakes whom, and how each ends."""

from __future__ import annotations

from itertools import pairwise

import pytest

from pvisor.domain.outcome import EndedBy
from pvisor.domain.scheduling import VcpuState
from pvisor.vmm.credit import PERIOD_NS, RATE_LIMIT_NS, SLICE_NS
from pvisor.vmm.loop import TIME_OVER
from pvisor.vmm.physical_cpu import PhysicalCpu
from tests.vmm.timed import MS, US, Guest, Program, S, off, sleep, spin


def test_turns_do_not_overlap_and_leave_no_gap() -> None:
    cpu = PhysicalCpu()
    guests = [Guest(cpu, spin(30 * MS)) for _ in range(3)]
    cpu.run()
    turns = sorted(turn for guest in guests for turn in guest.vcpu.turns)
    for before, after in pairwise(turns):
        assert before[1] == after[0]
    assert turns[-1][1] == 90 * MS == cpu.now()
    assert all(guest.ends == [guest.domain.ending] for guest in guests)
    assert not cpu.members


@pytest.mark.parametrize("weights", [(512, 256), (300, 200, 100)])
def test_shares_by_weight(weights: tuple[int, ...]) -> None:
    cpu = PhysicalCpu()
    guests = [Guest(cpu, spin(100 * S, 300 * US), weight=weight) for weight in weights]
    for guest in guests:
        guest.domain.timers.at(S, lambda guest=guest: guest.domain.end(TIME_OVER))  # type: ignore[misc]
    cpu.run()
    for guest, weight in zip(guests, weights, strict=True):
        assert abs(guest.ran_ns - S * weight // sum(weights)) <= S // 100


def test_a_lone_guest_has_no_slices() -> None:
    cpu = PhysicalCpu()
    guest = Guest(cpu, spin(50 * MS, 50 * MS))
    cpu.run()
    assert guest.stolen == [(0, 0)], "one turn"
    assert guest.vcpu.slice_ns is None


def test_a_lone_guest_with_a_cap() -> None:
    cpu = PhysicalCpu()
    guest = Guest(cpu, spin(29 * MS), cap_percent=20)
    cpu.run()
    assert guest.domain.ending is not None
    assert guest.domain.ending.ended_by is EndedBy.GUEST
    assert cpu.now() == 14 * PERIOD_NS + MS
    assert [end - begin for begin, end in guest.vcpu.turns] == [2 * MS] * 14 + [MS]


def test_two_with_caps_that_leave_time() -> None:
    cpu = PhysicalCpu()
    guests = [Guest(cpu, spin(10 * MS), cap_percent=cap) for cap in (10, 20)]
    cpu.run()
    assert [guest.domain.ending.status for guest in guests if guest.domain.ending] == [0, 0]
    assert guests[0].vcpu.turns[-1][1] > 9 * PERIOD_NS


# --- where time goes


def test_run_steal_and_sleep_are_all_the_time() -> None:
    cpu = PhysicalCpu()

    def program(run_ns: int) -> Program:
        while True:
            yield run_ns
            yield sleep()

    guests = [Guest(cpu, program(run_ns)) for run_ns in (2 * MS, 700 * US, 50 * US)]
    for guest, period_ns in zip(guests, (3 * MS, MS, 777 * US), strict=True):
        guest.tick(period_ns)
        guest.domain.timers.at(S, lambda guest=guest: guest.domain.end(TIME_OVER))  # type: ignore[misc]
    cpu.run()
    for guest in guests:
        times = guest.member.times(0)
        assert times.run_ns == guest.ran_ns
        assert times.steal_ns == guest.stolen[-1][1] or times.steal_ns > guest.stolen[-1][1]
        assert times.run_ns + times.steal_ns <= S
        steals = [ns for _, ns in guest.stolen]
        assert steals == sorted(steals)
    assert sum(guest.ran_ns for guest in guests) <= S


def test_the_times_of_one_that_runs_waits_and_sleeps() -> None:
    cpu = PhysicalCpu()
    seen: list[tuple[int, VcpuState, int, int]] = []

    def look() -> None:
        for index, guest in enumerate(guests):
            times = guest.member.times(0)
            seen.append((index, times.state, times.run_ns, times.steal_ns))

    def looker() -> Program:
        yield 500 * US
        look()
        yield off()

    def sleeper() -> Program:
        yield sleep()
        yield off()

    guests = [Guest(cpu, sleeper()), Guest(cpu, looker()), Guest(cpu, spin(MS))]
    guests[0].wake_at(5 * MS)
    cpu.run()
    assert seen == [
        (0, VcpuState.BLOCKED, 0, 0), (1, VcpuState.RUNNING, 500 * US, 0),
        (2, VcpuState.RUNNABLE, 0, 500 * US),
    ]  # fmt: skip
    assert [guest.member.times(0).state for guest in guests] == [VcpuState.DOWN] * 3


def test_who_comes_to_its_turn_is_told_what_was_stolen() -> None:
    cpu = PhysicalCpu()
    guests = [Guest(cpu, spin(2 * MS + 1, 2 * MS + 1)) for _ in range(2)]
    cpu.run()
    assert guests[0].stolen == [(0, 0), (0, MS), (0, 2 * MS)]
    assert guests[1].stolen == [(0, MS), (0, 2 * MS), (0, 2 * MS + 1)]


# --- waking


def test_time_jumps_while_all_sleep() -> None:
    cpu = PhysicalCpu()

    def program() -> Program:
        yield US
        yield sleep()
        yield US
        yield off()

    guests = [Guest(cpu, program()) for _ in range(2)]
    for guest, due_ns in zip(guests, (10 * S, 5 * S), strict=True):
        guest.wake_at(due_ns)
    cpu.run()
    assert [guest.vcpu.turns for guest in guests] == [
        [(0, US), (10 * S, 10 * S + US)], [(US, 2 * US), (5 * S, 5 * S + US)],
    ]  # fmt: skip


def test_who_wakes_goes_before_one_that_spins() -> None:
    cpu = PhysicalCpu()

    def program() -> Program:
        for _ in range(10):
            yield sleep()
            yield 10 * US
        yield off()

    sleeper, spinner = Guest(cpu, program()), Guest(cpu, spin(50 * MS, 50 * MS))
    for i in range(10):
        sleeper.wake_at(i * 3 * MS + 2_345_678)
    cpu.run()
    woken = [begin for begin, end in sleeper.vcpu.turns if end > begin]
    assert woken == [i * 3 * MS + 2_345_678 for i in range(10)]
    assert spinner.ran_ns == 50 * MS


def test_who_has_just_begun_runs_for_a_while() -> None:
    cpu = PhysicalCpu()

    def program() -> Program:
        yield sleep()
        yield US
        yield off()

    sleeper, spinner = Guest(cpu, program()), Guest(cpu, spin(5 * MS, 5 * MS))
    sleeper.wake_at(10 * US)
    cpu.run()
    assert spinner.vcpu.turns[0] == (0, RATE_LIMIT_NS)


def test_a_signal_of_another_domain_wakes() -> None:
    cpu = PhysicalCpu()

    def sender() -> Program:
        yield 300 * US
        sleeper.domain.notify(sleeper.vcpu)
        yield 10 * MS
        yield off()

    def program() -> Program:
        yield sleep()
        yield off(1)

    sleeper = Guest(cpu, program())
    Guest(cpu, sender())
    cpu.run()
    assert sleeper.domain.ending is not None
    assert sleeper.domain.ending.status == 3
    assert sleeper.vcpu.turns[-1][0] == 300 * US, "at once: it was woken, and the other has run long enough"


def test_a_deadline_of_one_that_sleeps_comes_in_anothers_turn_at_its_time() -> None:
    cpu = PhysicalCpu()
    came: list[int] = []

    def program() -> Program:
        yield sleep()
        yield off()

    sleeper, _ = Guest(cpu, program()), Guest(cpu, spin(20 * MS, 20 * MS))
    timers = sleeper.domain.timers
    for due_ns in (3 * MS, 3 * MS + 1, 7 * MS):
        timers.at(due_ns, lambda: came.append(timers.now()))
    cpu.run()
    assert came == [3 * MS, 3 * MS + 1, 7 * MS]


def test_a_domain_that_sets_a_deadline_for_another_is_left_at_it() -> None:
    cpu = PhysicalCpu()
    came: list[int] = []

    def sender() -> Program:
        yield MS
        sleeper.domain.timers.at(3 * MS, lambda: came.append(sleeper.domain.timers.now()))
        yield 50 * MS
        yield off()

    def program() -> Program:
        yield sleep()
        yield off()

    sleeper = Guest(cpu, program())
    Guest(cpu, sender())
    cpu.run()
    assert came == [3 * MS]


def test_an_event_that_comes_with_the_wish_to_sleep_is_not_lost() -> None:
    cpu = PhysicalCpu()

    def program() -> Program:
        yield MS
        guest.vcpu.event_pending = True
        yield sleep()
        yield off()

    guest = Guest(cpu, program())
    cpu.run()
    assert guest.domain.ending is not None
    assert guest.domain.ending.ended_by is EndedBy.GUEST


def test_a_seed_varies_the_slices_of_its_domain() -> None:
    def turns(seed: int) -> list[tuple[int, int]]:
        cpu = PhysicalCpu()
        one, other = Guest(cpu, spin(40 * SLICE_NS)), Guest(cpu, spin(40 * SLICE_NS))
        one.domain.timers.seed = seed
        cpu.run()
        assert {end - begin for begin, end in other.vcpu.turns[1:5]} == {SLICE_NS}
        return one.vcpu.turns

    spans = [end - begin for begin, end in turns(1)[1:-5]]
    assert len(set(spans)) > 10 and SLICE_NS // 2 <= min(spans) < SLICE_NS
    assert turns(1) == turns(1) != turns(2)
    assert {end - begin for begin, end in turns(0)[1:-5]} == {SLICE_NS}
