# SPDX-License-Identifier: GPL-2.0-or-later
"""A vCPU that waits: virtual time goes on, at once or at the host's pace, until something wakes it."""

from __future__ import annotations

import time
from collections.abc import Callable

from pvisor.abi.areas.power import BLOCK, SHUTDOWN
from pvisor.cpu.exits import ExitReason
from pvisor.domain.outcome import EndedBy, Ending
from pvisor.machine.clock import END_OF_TIME_NS
from pvisor.machine.input_watch import InputWatch
from pvisor.machine.timers import Timers
from pvisor.vmm.loop import IDLE, INTERRUPTED, MAX_DEADLINES_ASLEEP, TIME_OVER, RunLoop
from tests.domain.fakes import FakeExit, FakeVcpu, para_domain
from tests.machine.typed import Live

SLEEP = FakeExit(reason=ExitReason.HYPERCALL, number=BLOCK.nr, args=[0] * 5)
OFF = FakeExit(reason=ExitReason.HYPERCALL, number=SHUTDOWN.nr, args=[0] * 5)
MS = 1_000_000


class Sleeper:
    """A domain whose vCPU sleeps once, with interrupts on, and then shuts down."""

    def __init__(
        self, *, is_viewed: bool = False, on_kick: Callable[[], Ending | None] = lambda: None
    ) -> None:
        self.live = Live()
        self.domain, _ = para_domain(input=self.live)
        self.vcpu = FakeVcpu(self.domain.memory, (SLEEP, OFF))
        self.vcpu.virtual_if = True
        self.timers = self.domain.timers = Timers(lambda: self.vcpu.virtual_ns)
        self.loop = RunLoop(
            self.domain, self.vcpu, on_kick=on_kick, drain_trace=lambda: None, is_viewed=is_viewed
        )

    def wake(self) -> None:
        """What an interrupt controller does."""
        self.vcpu.event_pending = True

    def tick(self) -> None:
        """A timer that wakes nobody."""
        self.timers.at(self.timers.now() + MS, self.tick)

    def run(self) -> tuple[Ending, float]:
        """How it ended, and how long that took the host, in seconds."""
        begun = time.monotonic()
        return self.loop.run(), time.monotonic() - begun


def test_a_deadline_far_away_comes_at_once() -> None:
    sleeper = Sleeper()
    sleeper.timers.at(10**18, sleeper.wake)
    ending, took_s = sleeper.run()
    assert ending.ended_by is EndedBy.GUEST
    assert (sleeper.vcpu.virtual_ns, took_s < 5) == (10**18, True)


def test_nobody_sleeps_to_the_end_of_time() -> None:
    """A guest can: 2**24 deadlines of the local APIC's timer, each as far away as it goes."""
    for due_ns, ended_by in ((END_OF_TIME_NS, EndedBy.GUEST), (END_OF_TIME_NS + 1, EndedBy.IDLE)):
        sleeper = Sleeper()
        sleeper.vcpu.idle_ns = END_OF_TIME_NS - MS
        sleeper.timers.at(due_ns, sleeper.wake)
        assert sleeper.run()[0].ended_by is ended_by


def test_who_looks_at_the_screen_sees_time_pass() -> None:
    sleeper = Sleeper(is_viewed=True)
    sleeper.timers.at(250 * MS, sleeper.wake)
    ending, took_s = sleeper.run()
    assert ending.ended_by is EndedBy.GUEST
    assert sleeper.vcpu.virtual_ns == 250 * MS, "to the nanosecond: the run repeats all the same"
    assert took_s >= 0.24


def test_timers_that_wake_nobody_are_waited_for_only_so_long() -> None:
    sleeper = Sleeper()
    sleeper.tick()
    assert sleeper.run()[0] == IDLE
    assert sleeper.vcpu.virtual_ns == MAX_DEADLINES_ASLEEP * MS


def test_a_kick_ends_the_wait_for_a_timer() -> None:
    asked: list[int] = []

    def on_kick() -> Ending | None:
        asked.append(1)
        return TIME_OVER if len(asked) == 100 else None

    sleeper = Sleeper(on_kick=on_kick)
    sleeper.tick()
    assert sleeper.run()[0] == TIME_OVER
    assert sleeper.vcpu.virtual_ns == 100 * MS


def test_a_kick_ends_the_wait_of_who_is_looked_at() -> None:
    sleeper = Sleeper(is_viewed=True, on_kick=lambda: INTERRUPTED)
    sleeper.timers.at(10**18, sleeper.wake)
    ending, took_s = sleeper.run()
    assert ending == INTERRUPTED
    assert took_s < 5


def test_a_kick_ends_the_wait_for_a_terminal() -> None:
    answers = [None, None, INTERRUPTED]
    sleeper = Sleeper(on_kick=lambda: answers.pop(0))
    watch = InputWatch(sleeper.live, sleeper.timers, lambda: watch.set(sleeper.timers.now() + MS))
    sleeper.domain.watches.append(watch)
    watch.set(MS)
    assert sleeper.run()[0] == INTERRUPTED


def test_time_passes_while_a_terminal_is_waited_for() -> None:
    sleeper = Sleeper()
    n_waits: list[float] = []

    def wait(timeout_s: float) -> bool:
        n_waits.append(timeout_s)
        time.sleep(0.01)
        if len(n_waits) == 3:
            sleeper.wake()
        return False

    sleeper.live.wait = wait  # type: ignore[method-assign]
    watch = InputWatch(sleeper.live, sleeper.timers, lambda: watch.set(sleeper.timers.now() + MS))
    sleeper.domain.watches.append(watch)
    watch.set(MS)
    assert sleeper.run()[0].ended_by is EndedBy.GUEST
    assert all(0 < timeout_s <= 0.1 for timeout_s in n_waits)
    assert 30 * MS <= sleeper.vcpu.virtual_ns < 10_000 * MS
