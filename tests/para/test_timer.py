# SPDX-License-Identifier: GPL-2.0-or-later
"""Paravirtual timers on a clock by hand: when they signal, and how often."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvisor.abi.areas import time as rows
from pvisor.abi.errnos import EINVAL
from pvisor.abi.layout import unpack
from pvisor.domain.outcome import Outcome
from pvisor.para.hypercalls import HypercallTable
from pvisor.para.timer import MAX_PERIOD_NS, MIN_PERIOD_NS, SERVED, TimerRoom
from tests.domain.fakes import FakeExit, FakeVcpu, para_domain
from tests.machine.hand_clock import HandClock

US, MS = 1_000, 1_000_000
AT = 0x2_0000
ALL_FEATURES = (1 << 63) - 1


class Trial:
    """A domain of two vCPUs whose timers' signals are written down with their times."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.domain, _ = para_domain()
        self.domain.timers = self.clock.timers
        self.vcpus = [FakeVcpu(self.domain.memory) for _ in range(2)]
        self.vcpus[1].vcpu_id = 1
        self.domain.vcpus[:] = self.vcpus
        self.signals: list[tuple[int, int]] = []
        self.room = TimerRoom(lambda vcpu_id: self.signals.append((vcpu_id, self.clock.now_ns)))
        self.table = HypercallTable(ALL_FEATURES, [SERVED, self.room.served])

    def call(self, number: int, *args: int, by: int = 0) -> int:
        exit = FakeExit(number=number, args=[*args, 0, 0, 0, 0, 0][:5], virtual_ns=self.clock.now_ns)
        assert self.table.serve(self.domain, self.vcpus[by], exit) is Outcome.RESUME
        return exit.result

    def once(self, due_ns: int, by: int = 0) -> int:
        return self.call(rows.TIMER_ONCE.nr, due_ns, by=by)

    def periodic(self, period_ns: int, by: int = 0) -> int:
        return self.call(rows.TIMER_PERIODIC.nr, period_ns, by=by)


def test_time_get() -> None:
    trial = Trial()
    trial.clock.advance(1_500_000_000)
    assert trial.call(rows.TIME_GET.nr, AT) == 0
    wanted = {"system_ns": 1_500_000_000, "wall_s": 1_767_225_601, "wall_ns": 500_000_000, "reserved": 0}
    assert unpack("pv_time", trial.domain.memory.read(AT, 24)) == wanted


def test_once() -> None:
    trial = Trial()
    assert trial.once(3 * MS) == 0
    trial.clock.advance(3 * MS - 1)
    assert not trial.signals
    trial.clock.advance(10 * MS)
    assert trial.signals == [(0, 3 * MS)]


def test_a_time_that_has_passed_signals_behind_the_call() -> None:
    trial = Trial()
    trial.clock.advance(MS)
    trial.once(1)
    assert not trial.signals
    trial.clock.advance(0)
    assert trial.signals == [(0, MS)]


def test_setting_replaces_and_zero_cancels() -> None:
    trial = Trial()
    for due_ns in (MS, 5 * MS, 2 * MS):
        trial.once(due_ns)
    trial.clock.advance(10 * MS)
    assert trial.signals == [(0, 2 * MS)]
    trial.once(20 * MS)
    trial.once(0)
    trial.clock.advance(20 * MS)
    assert len(trial.signals) == 1


def test_each_vcpu_has_its_own() -> None:
    trial = Trial()
    trial.once(2 * MS, by=0)
    trial.once(MS, by=1)
    trial.periodic(3 * MS, by=1)
    trial.once(0, by=0)
    trial.clock.advance(7 * MS)
    assert trial.signals == [(1, MS), (1, 3 * MS), (1, 6 * MS)]


def test_periods_do_not_add_errors_up() -> None:
    trial = Trial()
    trial.clock.advance(123)
    trial.periodic(MS)
    trial.clock.advance(100 * MS)
    assert trial.signals == [(0, 123 + i * MS) for i in range(1, 101)]


def test_periods_that_were_missed_are_one_signal() -> None:
    trial = Trial()
    trial.periodic(MS)
    trial.clock.now_ns = 10 * MS + 500 * US
    trial.clock.timers.run_due()
    assert trial.signals == [(0, 10 * MS + 500 * US)]
    trial.clock.advance(MS)
    assert trial.signals[1:] == [(0, 11 * MS)]


def test_both_kinds_side_by_side() -> None:
    trial = Trial()
    trial.periodic(2 * MS)
    trial.once(3 * MS)
    trial.clock.advance(4 * MS)
    assert trial.signals == [(0, 2 * MS), (0, 3 * MS), (0, 4 * MS)]


@pytest.mark.parametrize("period_ns", [1, MIN_PERIOD_NS - 1, MAX_PERIOD_NS + 1, (1 << 64) - 1])
def test_a_period_that_cannot_be_leaves_the_old_one(period_ns: int) -> None:
    trial = Trial()
    trial.periodic(MS)
    assert trial.periodic(period_ns) == -EINVAL.number
    trial.clock.advance(2 * MS)
    assert len(trial.signals) == 2


@pytest.mark.parametrize("period_ns", [MIN_PERIOD_NS, MAX_PERIOD_NS])
def test_periods_that_can_be(period_ns: int) -> None:
    trial = Trial()
    assert trial.periodic(period_ns) == 0
    assert trial.clock.timers.next_due_ns == period_ns
    assert trial.periodic(0) == 0
    assert trial.clock.timers.next_due_ns is None


def test_the_end_of_time() -> None:
    trial = Trial()
    assert trial.once((1 << 64) - 1) == 0
    assert trial.clock.timers.next_due_ns is None, "that is never"


def test_one_that_goes_down_has_no_timers() -> None:
    trial = Trial()
    trial.once(MS, by=1)
    trial.periodic(MS, by=1)
    trial.room.stop(1)
    trial.room.stop(0)
    assert trial.clock.timers.next_due_ns is None
    trial.once(MS, by=1)
    trial.clock.advance(MS)
    assert trial.signals == [(1, MS)]


@given(st.lists(st.tuples(st.integers(0, 10 * MS), st.integers(0, 2 * MS)), max_size=30))
def test_any_order_of_setting_signals_as_a_plain_model_says(steps: list[tuple[int, int]]) -> None:
    trial, due_ns, wanted = Trial(), 0, []
    for new_ns, passes_ns in steps:
        trial.once(new_ns)
        due_ns = new_ns
        begin_ns = trial.clock.now_ns
        trial.clock.advance(passes_ns)
        if due_ns and due_ns <= begin_ns + passes_ns:
            wanted.append((0, max(due_ns, begin_ns)))
            due_ns = 0
    assert trial.signals == wanted


def test_setting_it_for_ever_leaves_no_heap() -> None:
    trial = Trial()
    for i in range(10_000):
        trial.once(10**9 - i)
        trial.periodic(MIN_PERIOD_NS + i)
    assert len(trial.clock.timers._heap) < 500
