# SPDX-License-Identifier: GPL-2.0-or-later
"""The credit scheduler's policy alone: tasks that only take time, ten virtual seconds of it for fairness."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvisor.vmm.credit import (
    MAX_WEIGHT,
    PERIOD_NS,
    RATE_LIMIT_NS,
    SAVED_NS,
    SLICE_NS,
    Entity,
)
from tests.vmm.credit_world import Run, Task

US, MS, S = 1_000, 1_000_000, 1_000_000_000
LONG_NS = 10 * S
FAIR = 0.01


def check_shares(tasks: list[Task], total_ns: int) -> None:
    """What these ran is in proportion to their weights, within 1 % of the time."""
    weights = sum(task.account.weight for task in tasks)
    ran_ns = sum(task.ran_ns for task in tasks)
    for task in tasks:
        assert abs(task.ran_ns - ran_ns * task.account.weight / weights) <= FAIR * total_ns


@pytest.mark.parametrize(
    "weights",
    [(256, 256), (512, 256), (768, 256, 256), (700, 500, 300, 100), (1000, 1, 1), (MAX_WEIGHT, 1),
     (1,) * 13, (256,) * 40, (1, 2, 4, 8, 16, 32, 64, 128), (100, 101, 99)],
)  # fmt: skip
def test_hogs_share_by_weight(weights: tuple[int, ...]) -> None:
    run = Run()
    hogs = [run.hog(weight) for weight in weights]
    run.run(LONG_NS)
    check_shares(hogs, LONG_NS)
    assert sum(hog.ran_ns for hog in hogs) == LONG_NS, "no time is wasted"


SLEEPERS = st.lists(
    st.tuples(st.integers(10 * US, 5 * MS), st.integers(US, 50 * MS), st.integers(1, 1000)), max_size=4
)


@settings(max_examples=24, deadline=None)
@given(weights=st.lists(st.integers(1, 1000), min_size=2, max_size=7), sleepers=SLEEPERS)
def test_hogs_share_by_weight_what_sleepers_leave(
    weights: list[int], sleepers: list[tuple[int, int, int]]
) -> None:
    run = Run()
    hogs = [run.hog(weight) for weight in weights]
    others = [run.sleeper(*sleeper) for sleeper in sleepers]
    run.run(LONG_NS)
    check_shares(hogs, LONG_NS)
    assert sum(task.ran_ns for task in hogs + others) == LONG_NS


@settings(max_examples=15, deadline=None)
@given(
    caps=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    weights=st.lists(st.integers(1, 1000), max_size=3),
)
def test_caps_are_kept_and_the_rest_is_shared(caps: list[int], weights: list[int]) -> None:
    run = Run()
    capped = [run.hog(cap_percent=cap) for cap in caps]
    hogs = [run.hog(weight) for weight in weights]
    run.run(LONG_NS)
    for task, cap in zip(capped, caps, strict=True):
        assert task.ran_ns <= LONG_NS * cap // 100 + SLICE_NS
    ran_ns = sum(task.ran_ns for task in capped + hogs)
    assert ran_ns + run.idle_ns == LONG_NS
    if hogs:
        assert run.idle_ns == 0
    elif sum(caps) <= 100:
        for task, cap in zip(capped, caps, strict=True):
            assert abs(task.ran_ns - LONG_NS * cap // 100) <= SLICE_NS


def test_a_cap_takes_nothing_from_the_proportions_of_others() -> None:
    run = Run()
    capped, hogs = run.hog(768, 10), [run.hog(512), run.hog(256)]
    run.run(LONG_NS)
    check_shares(hogs, LONG_NS)
    assert abs(capped.ran_ns - LONG_NS // 10) <= SLICE_NS


def test_a_lone_domain_with_a_cap_idles_between() -> None:
    run = Run()
    hog = run.hog(cap_percent=30)
    run.run(LONG_NS)
    assert (hog.ran_ns, run.idle_ns) == (LONG_NS * 3 // 10, LONG_NS * 7 // 10)
    assert set(hog.turns) == {PERIOD_NS * 3 // 10}


def test_two_vcpus_of_a_domain_share_what_the_domain_gets() -> None:
    run = Run()
    account = run.account(512)
    pair = [run.task(account), run.task(account)]
    other = run.hog(256)
    run.run(LONG_NS)
    assert abs(pair[0].ran_ns - pair[1].ran_ns) <= 2 * SLICE_NS
    assert abs(other.ran_ns - LONG_NS // 3) <= FAIR * LONG_NS


# --- waking


def test_who_wakes_with_credit_goes_first_and_soon() -> None:
    run = Run()
    sleeper, hogs = run.sleeper(50 * US, 3 * MS + 1), [run.hog() for _ in range(5)]
    run.run(S)
    assert len(sleeper.latencies) > 300
    assert max(sleeper.latencies[1:]) <= RATE_LIMIT_NS
    check_shares(hogs, S)


def test_who_has_just_begun_is_not_preempted() -> None:
    run = Run()
    run.sleeper(5 * US, 70 * US)
    hog = run.hog()
    run.run(S)
    assert all(ran_ns >= RATE_LIMIT_NS for ran_ns in hog.turns[:-1])


def test_who_wakes_without_credit_waits() -> None:
    run = Run()
    queue = run.queue
    account, other = run.account(), run.account()
    account.credit_ns = 0
    poor, rich = Entity(account), Entity(other)
    queue.enqueue(rich)
    queue.enqueue(poor, woken=True)
    assert not poor.is_boosted
    assert queue.preempts_after_ns(poor, rich) is None
    assert queue.pick(0) is rich


def test_a_boost_lasts_for_one_turn() -> None:
    run = Run()
    queue = run.queue
    accounts = [run.account(), run.account()]
    sleeper, hog = Entity(accounts[0]), Entity(accounts[1])
    queue.enqueue(hog)
    queue.enqueue(sleeper, woken=True)
    assert queue.pick(0) is sleeper
    assert queue.preempts_after_ns(sleeper, hog) is not None
    queue.charge(sleeper, SLICE_NS)
    queue.enqueue(sleeper)
    assert not sleeper.is_boosted
    assert queue.pick(SLICE_NS) is hog


def test_one_that_was_woken_does_not_preempt_another() -> None:
    run = Run()
    one, other = (Entity(run.account(), is_boosted=True) for _ in range(2))
    assert run.queue.preempts_after_ns(one, other) is None


def test_waking_all_the_time_gains_nothing() -> None:
    """A domain that sleeps for an instant, again and again, gets its share and no more."""
    run = Run()
    cheat, hog = run.sleeper(900 * US, 1), run.hog()
    run.run(LONG_NS)
    assert abs(cheat.ran_ns - hog.ran_ns) <= 2 * FAIR * LONG_NS


# --- what credit is not


def test_credit_is_not_hoarded() -> None:
    run = Run()
    hog, sleeper = run.hog(), run.sleeper(LONG_NS, LONG_NS)
    sleeper.left_ns = 1
    run.run(LONG_NS + MS)
    assert sleeper.ran_ns == 1
    assert sleeper.account.credit_ns <= PERIOD_NS // 2 + SAVED_NS
    before_ns = hog.ran_ns
    run.run(100 * MS)
    lead_ns = sleeper.ran_ns - (hog.ran_ns - before_ns)
    assert lead_ns <= PERIOD_NS + SAVED_NS


def test_running_alone_is_no_debt() -> None:
    run = Run()
    early = run.hog(512)
    run.run(LONG_NS)
    late = run.hog(256)
    before_ns = early.ran_ns
    run.run(300 * MS)
    assert abs(late.ran_ns - 100 * MS) <= 2 * PERIOD_NS
    assert abs(early.ran_ns - before_ns - 200 * MS) <= 2 * PERIOD_NS


def test_idle_time_gives_nothing() -> None:
    run = Run()
    sleepers = [run.sleeper(MS, S), run.sleeper(MS, S, 512)]
    run.run(LONG_NS)
    assert [len(sleeper.turns) for sleeper in sleepers] == [10, 10]
    assert run.idle_ns == LONG_NS - 20 * MS
    hogs = [run.hog(), run.hog()]
    run.run(100 * MS)
    assert abs(hogs[0].ran_ns - hogs[1].ran_ns) <= 2 * SLICE_NS


def test_who_goes_leaves_nothing_behind() -> None:
    run = Run()
    account = run.account()
    gone, queued = Entity(account), Entity(account)
    run.queue.enqueue(queued)
    run.queue.remove(account)
    assert run.queue.pick(0) is None
    assert (account.n_runnable, queued.is_queued) == (0, False)
    run.queue.dequeue(gone)
    hogs = [run.hog(512), run.hog(256)]
    run.run(LONG_NS)
    check_shares(hogs, LONG_NS)


def test_it_comes_and_goes_and_all_credit_stays_one_period() -> None:
    run = Run()
    hogs = [run.hog(weight) for weight in (100, 200, 300)]
    for weight in (50, 900, 7):
        run.run(S)
        guest = run.hog(weight)
        run.run(S)
        run.queue.remove(guest.account)
        run.run(10 * PERIOD_NS)
        assert abs(sum(hog.account.credit_ns for hog in hogs) - PERIOD_NS) <= PERIOD_NS + SLICE_NS
    before = [hog.ran_ns for hog in hogs]
    run.run(LONG_NS)
    for hog, ran_ns in zip(hogs, before, strict=True):
        hog.ran_ns -= ran_ns
    check_shares(hogs, LONG_NS)


# --- turns


def test_equals_take_turns_in_their_order() -> None:
    run = Run()
    queue = run.queue
    accounts = [run.account() for _ in range(3)]
    tasks = [Entity(account) for account in accounts]
    for task in tasks:
        queue.enqueue(task)
    order = []
    for _ in range(6):
        picked = queue.pick(0)
        assert picked is not None
        order.append(tasks.index(picked))
        queue.charge(picked, SLICE_NS)
        queue.enqueue(picked)
    assert order == [0, 1, 2, 0, 1, 2]


def test_who_yields_lets_another_go_first_whatever_credit_says() -> None:
    run = Run()
    queue = run.queue
    rich, poor = Entity(run.account()), Entity(run.account())
    poor.account.credit_ns = -PERIOD_NS
    queue.enqueue(poor)
    queue.enqueue(rich, yielded=True)
    assert queue.pick(0) is poor
    queue.enqueue(poor)
    assert queue.pick(0) is rich, "one turn is enough"


def test_who_yields_alone_goes_on() -> None:
    run = Run()
    queue = run.queue
    only = Entity(run.account())
    queue.enqueue(only, yielded=True)
    assert queue.pick(0) is only


def test_who_yields_is_not_kept_away_by_one_with_a_cap() -> None:
    run = Run()
    parked, only = Entity(run.account(cap_percent=10)), Entity(run.account())
    run.queue.charge(parked, PERIOD_NS)
    run.queue.enqueue(parked)
    run.queue.enqueue(only, yielded=True)
    assert run.queue.pick(1) is only


def test_slices() -> None:
    run = Run()
    alone, capped = Entity(run.account()), Entity(run.account(cap_percent=5))
    assert run.queue.slice_ns(alone) is None
    assert run.queue.slice_ns(capped) == PERIOD_NS // 20
    run.queue.enqueue(Entity(run.account()))
    assert run.queue.slice_ns(alone) == SLICE_NS
    assert run.queue.slice_ns(capped) == PERIOD_NS // 20
    run.queue.charge(capped, PERIOD_NS // 20)
    assert capped.account.is_parked


def test_what_ran_too_long_for_its_cap_is_held_back() -> None:
    """A turn may end late, by a block of the guest's: the cap is kept over time all the same."""
    run = Run()
    capped = Entity(run.account(cap_percent=10))
    run.queue.charge(capped, 3 * MS)
    run.queue.enqueue(capped)
    picked = [run.queue.pick(now_ns) is capped for now_ns in (0, PERIOD_NS, 2 * PERIOD_NS, 3 * PERIOD_NS)]
    assert picked == [False, False, False, True]


def test_enqueueing_twice_is_once() -> None:
    run = Run()
    task = Entity(run.account())
    run.queue.enqueue(task)
    run.queue.enqueue(task)
    assert run.queue.pick(0) is task
    assert run.queue.pick(0) is None
