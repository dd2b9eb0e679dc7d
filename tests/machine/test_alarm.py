# SPDX-License-Identifier: GPL-2.0-or-later
"""A deadline that moves rings once, when it is due at last; and who watches for input."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pvisor.machine.alarm import Alarm
from pvisor.machine.console import POLL_NS
from pvisor.machine.input_watch import InputWatch
from tests.machine.hand_clock import HandClock
from tests.machine.typed import Live, Typed


class Bell:
    """An alarm on a clock, and when it rang."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.rang: list[int] = []
        self.alarm = Alarm(self.clock.timers, lambda: self.rang.append(self.clock.now_ns))


def test_it_rings_once() -> None:
    bell = Bell()
    bell.alarm.set(100)
    bell.clock.advance(99)
    assert bell.rang == []
    bell.clock.advance(1000)
    assert bell.rang == [100]
    assert bell.alarm.due_ns is None


def test_it_can_be_moved_both_ways_and_taken_back() -> None:
    bell = Bell()
    bell.alarm.set(100)
    bell.alarm.set(300)
    bell.clock.advance(200)
    assert bell.rang == []
    bell.alarm.set(250)
    bell.clock.advance(200)
    assert bell.rang == [250]
    bell.alarm.set(500)
    bell.alarm.set(None)
    bell.clock.advance(1000)
    assert bell.rang == [250]


def test_a_dropped_one_is_no_deadline_of_anybody() -> None:
    bell = Bell()
    bell.alarm.set(100)
    bell.alarm.drop()
    assert bell.clock.timers.next_due_ns is None
    bell.alarm.set(200)
    bell.clock.advance(500)
    assert bell.rang == [200]


def test_moving_it_later_leaves_no_heap_behind() -> None:
    bell = Bell()
    for due_ns in range(1000, 11_000):
        bell.alarm.set(due_ns)
    assert len(bell.clock.timers._heap) == 1
    bell.clock.advance(20_000)
    assert bell.rang == [10_999]


@given(st.lists(st.tuples(st.integers(0, 50), st.none() | st.integers(0, 100)), max_size=30))
def test_it_rings_exactly_when_the_last_setting_says(moves: list[tuple[int, int | None]]) -> None:
    bell, due, expected = Bell(), None, []
    for wait_ns, after_ns in moves:
        now = bell.clock.now_ns
        due = None if after_ns is None else now + after_ns
        bell.alarm.set(due)
        bell.clock.advance(wait_ns)
        if due is not None and due <= now + wait_ns:
            expected.append(due)
    assert bell.rang == expected


def test_a_pipe_is_not_waited_for() -> None:
    clock, looked = HandClock(), []
    watch = InputWatch(Typed(b"x", 500), clock.timers, lambda: looked.append(clock.now_ns))
    watch.set(500)
    assert not watch.hold(), "its byte has its time"
    watch.release()
    clock.advance(1000)
    assert looked == [500]


def test_a_poll_is_put_aside_while_the_guest_idles() -> None:
    clock, looked, live = HandClock(), [], Live()
    watch = InputWatch(live, clock.timers, lambda: looked.append(clock.now_ns))
    watch.set(POLL_NS)
    assert watch.hold()
    assert clock.timers.next_due_ns is None, "nothing else is due: the run loop may wait for the host"
    clock.advance(5 * POLL_NS)
    assert looked == []
    watch.release()
    assert looked == [5 * POLL_NS]
    watch.release()
    assert len(looked) == 1


def test_what_has_been_typed_already_is_no_poll() -> None:
    clock, looked, live = HandClock(), [], Live()
    live.data = b"x"
    watch = InputWatch(live, clock.timers, lambda: looked.append(clock.now_ns))
    watch.set(0)
    assert not watch.hold()
    clock.advance(10)
    assert looked == [1], "not inside the call that asks for it"


def test_a_watch_that_nobody_wants_holds_nothing() -> None:
    clock = HandClock()
    watch = InputWatch(Live(), clock.timers, lambda: None)
    watch.set(100)
    watch.set(None)
    assert not watch.hold()
    assert clock.timers.next_due_ns is None
