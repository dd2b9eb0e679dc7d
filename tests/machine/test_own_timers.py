# SPDX-License-Identifier: GPL-2.0-or-later
"""Deadlines of devices that have native handlers stand in shared memory, on the same list as all others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvisor.cpu.unicorn_engine import new_deadlines
from pvisor.machine.timers import MAX_LATE_NS, N_OWN, NEVER, OwnTimer, Timers, vary


class Clock:
    """A list in a struct of the engine's, and what has acted when."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.shared = new_deadlines()
        self.timers = Timers(lambda: self.now_ns, shared=self.shared)
        self.acted: list[str] = []

    def own(self, name: str) -> OwnTimer:
        return self.timers.own(lambda: self.acted.append(name))

    def to(self, ns: int) -> list[str]:
        self.now_ns = ns
        self.timers.run_due()
        return self.acted


def test_it_acts_once_and_has_no_deadline_then() -> None:
    clock = Clock()
    timer = clock.own("a")
    assert (timer.due_ns, clock.timers.next_due_ns) == (None, None)
    timer.set(100)
    assert (timer.due_ns, clock.timers.next_due_ns) == (100, 100)
    assert clock.to(99) == []
    assert clock.to(100) == ["a"]
    assert clock.to(1000) == ["a"]
    assert (timer.due_ns, clock.timers.next_due_ns, clock.timers.n_acted) == (None, None, 1)


def test_it_moves_both_ways_and_goes() -> None:
    clock = Clock()
    timer = clock.own("a")
    for due_ns in (100, 300, 200):
        timer.set(due_ns)
    assert clock.to(199) == []
    timer.set(None)
    assert clock.to(400) == []
    timer.set(NEVER + 5)
    assert timer.due_ns is None


def test_of_one_time_the_first_that_was_made_acts_first() -> None:
    clock = Clock()
    first, second = clock.own("first"), clock.own("second")
    second.set(50)
    clock.timers.at(50, lambda: clock.acted.append("listed"))
    first.set(50)
    assert clock.to(60) == ["second", "listed", "first"]


def test_native_handlers_see_what_they_must() -> None:
    clock = Clock()
    timer = clock.own("a")
    listed = clock.timers.at(70, lambda: None)
    timer.set(90)
    assert (clock.shared.listed_ns, clock.shared.own[timer.index].due_ns) == (70, 90)
    listed.cancel()
    assert clock.shared.listed_ns == NEVER
    clock.shared.own[timer.index].due_ns = 40  # as they would
    assert clock.timers.next_due_ns == 40
    assert clock.to(40) == ["a"]


def test_there_are_so_many() -> None:
    clock = Clock()
    assert [clock.own("").index for _ in range(N_OWN)] == list(range(N_OWN))
    with pytest.raises(IndexError):
        clock.own("")
    assert len(clock.shared.own) == N_OWN


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), max_size=N_OWN))
def test_all_act_in_the_order_of_time_and_making(deadlines: list[tuple[bool, int]]) -> None:
    clock = Clock()
    for i, (is_own, due_ns) in enumerate(deadlines):
        if is_own:
            clock.own(str(i)).set(due_ns)
        else:
            clock.timers.at(due_ns, lambda i=i: clock.acted.append(str(i)))  # type: ignore[misc]
    expected = sorted(range(len(deadlines)), key=lambda i: deadlines[i][1])
    assert clock.to(20) == [str(i) for i in expected]


@given(st.integers(1, NEVER), st.lists(st.integers(0, NEVER), min_size=1, max_size=5))
def test_with_a_seed_deadlines_are_heard_of_a_little_late(seed: int, times: list[int]) -> None:
    clock = Clock()
    clock.timers.seed = seed
    for due_ns in times:
        clock.timers.at(due_ns, lambda: None)
    heard_ns, due_ns = clock.timers.next_due_ns, min(times)
    if due_ns == NEVER:
        assert heard_ns is None
    else:
        assert heard_ns is not None and due_ns <= heard_ns < min(due_ns + MAX_LATE_NS, NEVER + 1)


def test_a_seed_says_how_late_and_0_says_not_at_all() -> None:
    assert {vary(0, at_ns, 100) for at_ns in range(50)} == {0}
    assert [vary(1, at_ns, 100) for at_ns in range(50)] != [vary(2, at_ns, 100) for at_ns in range(50)]
    assert vary(1, 5, 1 << 64) == vary(1, 5, 1 << 64)
    # SplitMix64 from 0 and 1 (the reference program of Vigna, prng.di.unimi.it): its first numbers.
    assert vary(1, 1, 1 << 64) == 0xE220_A839_7B1D_CDAF
    assert vary(1, 0, 1 << 64) == 0x910A_2DEC_8902_5CC1
