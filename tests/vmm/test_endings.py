# SPDX-License-Identifier: GPL-2.0-or-later
"""How domains on one physical CPU end, each by itself, and what that does to the others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pvisor.cpu.exits import ExitReason
from pvisor.domain.outcome import EndedBy
from pvisor.vmm.loop import IDLE, INTERRUPTED, MAX_DEADLINES_ASLEEP, TIME_OVER
from pvisor.vmm.physical_cpu import PhysicalCpu
from tests.domain.fakes import FakeExit
from tests.vmm.timed import MS, US, Guest, Program, S, called, off, sleep, spin

CRASH = FakeExit(reason=ExitReason.PAGE_FAULT, vector=14, cr2=0x123, error_code=2)


def test_a_crash_leaves_the_others_running() -> None:
    cpu = PhysicalCpu()

    def crasher() -> Program:
        yield MS
        yield CRASH

    guests = [Guest(cpu, crasher()), Guest(cpu, spin(10 * MS))]
    cpu.run()
    assert [guest.domain.ending.status for guest in guests if guest.domain.ending] == [134, 0]
    assert guests[1].ran_ns == 10 * MS


def test_one_that_nothing_wakes_ends_when_nobody_else_is_left() -> None:
    cpu = PhysicalCpu()

    def program() -> Program:
        yield sleep()

    sleeper, spinner = Guest(cpu, program()), Guest(cpu, spin(10 * MS))
    cpu.run()
    assert (sleeper.domain.ending, spinner.domain.ending is not None) == (IDLE, True)
    assert cpu.now() == 10 * MS


def test_timers_without_effect_do_not_end_one_that_sleeps_longer() -> None:
    """One has a timer that it has masked; another sleeps for a year, and wakes."""
    cpu = PhysicalCpu()

    def deaf() -> Program:
        yield sleep()

    def patient() -> Program:
        yield sleep()
        yield off()

    masked, sleeper = Guest(cpu, deaf()), Guest(cpu, patient())

    def tick() -> None:
        masked.domain.timers.at(masked.domain.timers.now() + US, tick)

    tick()
    sleeper.wake_at(365 * 86_400 * S)
    cpu.run()
    assert sleeper.domain.ending is not None
    assert sleeper.domain.ending.ended_by is EndedBy.GUEST
    assert masked.domain.ending == IDLE
    assert masked.domain.timers.n_acted <= 2 * MAX_DEADLINES_ASLEEP + 2


def test_a_kick_of_one_that_sleeps_is_heard_in_anothers_turn() -> None:
    cpu = PhysicalCpu()

    def program() -> Program:
        yield sleep()

    sleeper = Guest(cpu, program())

    def spinner() -> Program:
        yield MS
        sleeper.on_kick_ending = TIME_OVER
        other.vcpu.kick()
        yield MS
        assert sleeper.domain.ending == TIME_OVER
        yield off()

    other = Guest(cpu, spinner())
    cpu.run()
    assert other.domain.ending is not None
    assert other.domain.ending.ended_by is EndedBy.GUEST


def test_a_kick_may_end_all() -> None:
    cpu = PhysicalCpu()

    def program() -> Program:
        yield MS
        for guest in guests:
            guest.on_kick_ending = INTERRUPTED
            guest.vcpu.kick()
        yield MS
        raise AssertionError("it runs on")

    guests = [Guest(cpu, program()), Guest(cpu, spin(S))]
    cpu.run()
    assert [guest.domain.ending for guest in guests] == [INTERRUPTED] * 2


def test_an_ended_domain_is_told_of_nothing() -> None:
    cpu = PhysicalCpu()

    def early() -> Program:
        yield off()

    def late() -> Program:
        yield MS
        gone.vcpu.set_deadline = broken  # type: ignore[method-assign]
        gone.domain.timers.at(2 * MS, lambda: None)
        gone.domain.notify(gone.vcpu)
        yield 5 * MS
        yield off()

    def broken(due_ns: int | None) -> None:
        raise AssertionError("its vCPU may not be there any more")

    gone, _ = Guest(cpu, early()), Guest(cpu, late())
    cpu.run()
    assert not gone.vcpu.event_pending


def test_a_mistake_of_ours_surfaces() -> None:
    cpu = PhysicalCpu()

    def broken() -> Program:
        yield MS
        raise ZeroDivisionError("ours")

    Guest(cpu, spin(S)), Guest(cpu, broken())
    with pytest.raises(ZeroDivisionError):
        cpu.run()
    assert cpu.current is None


def test_a_domain_that_comes_later() -> None:
    cpu = PhysicalCpu()
    late: list[Guest] = []

    def first() -> Program:
        yield 5 * MS
        late.append(Guest(cpu, spin(MS)))
        yield 5 * MS
        yield off()

    Guest(cpu, first())
    cpu.run()
    assert late[0].vcpu.turns[0][0] == 5 * MS, "the first has had more than a slice"
    assert late[0].ran_ns == MS


def test_two_runs_are_equal() -> None:
    def turns() -> Iterator[list[tuple[int, int]]]:
        cpu = PhysicalCpu()
        guests = [Guest(cpu, spin(20 * MS, step), weight=weight) for step, weight in ((7 * US, 3), (MS, 5))]

        def program() -> Program:
            for _ in range(20):
                yield sleep()
                yield 123_456
            yield called(0x32, 0, 1)

        guests.append(Guest(cpu, program()))
        guests[2].tick(1_234_567)
        cpu.run()
        for guest in guests:
            yield guest.vcpu.turns

    assert list(turns()) == list(turns())
