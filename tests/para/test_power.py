# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting by hypercall on a shared page and a clock by hand: who sleeps, for what, and who goes on when."""

from __future__ import annotations

import struct

import pytest

from pvisor.abi.areas import power as rows
from pvisor.abi.errnos import EFAULT, EINVAL, ETIME
from pvisor.cpu.vcpu import Vcpu
from pvisor.domain.outcome import Outcome
from pvisor.domain.scheduling import VcpuState, VcpuTimes
from pvisor.para.hypercalls import HypercallTable
from pvisor.para.power import N_PORTS, POLL_MAX, PowerRoom
from pvisor.para.shared import SharedPage
from tests.domain.fakes import FakeExit, FakeVcpu, para_domain
from tests.machine.hand_clock import HandClock

MS = 1_000_000
AT, SHARED = 0x2_0000, 0x3_0000
ALL_FEATURES = (1 << 63) - 1
TIME_OVER = -ETIME.number


class Woken:
    """Scheduling that remembers who was woken."""

    def __init__(self) -> None:
        self.ids: list[int] = []

    def wake(self, vcpu_id: int) -> None:
        self.ids.append(vcpu_id)

    def up(self, vcpu_id: int) -> None:
        raise AssertionError

    def down(self, vcpu_id: int) -> None:
        raise AssertionError

    def times(self, vcpu_id: int) -> VcpuTimes:
        return VcpuTimes(VcpuState.RUNNING)


class Trial:
    """A domain of two vCPUs with a shared page."""

    def __init__(self) -> None:
        self.clock, self.woken = HandClock(), Woken()
        self.domain, _ = para_domain()
        self.domain.timers, self.domain.scheduling = self.clock.timers, self.woken
        self.vcpus = [FakeVcpu(self.domain.memory) for _ in range(2)]
        self.vcpus[1].vcpu_id = 1
        self.domain.vcpus[:] = self.vcpus
        self.shared = SharedPage(self.domain.memory, SHARED)
        self.shared.clear()
        self.room = PowerRoom(self.shared)
        self.table = HypercallTable(ALL_FEATURES, [self.room.served])
        self.exits = [FakeExit(), FakeExit()]

    def call(self, number: int, *args: int, by: int = 0) -> tuple[Outcome, int]:
        exit = self.exits[by]
        exit.number, exit.args, exit.virtual_ns = number, [*args, 0, 0, 0, 0][:5], self.clock.now_ns
        exit.result = 0x5EED
        return self.table.serve(self.domain, self.vcpus[by], exit), exit.result

    def poll(self, *ports: int, due_ns: int = 0, by: int = 0) -> tuple[Outcome, int]:
        self.domain.memory.write(AT, struct.pack(f"<{len(ports)}I", *ports))
        return self.call(rows.POLL.nr, AT, len(ports), due_ns, by=by)

    def signal(self, port: int) -> None:
        """As an event channel does it, for a masked port."""
        self.shared.set_pending(port, True)
        self.room.on_pending(self.domain, port)


def test_block_unmasks_and_sleeps() -> None:
    trial = Trial()
    assert trial.call(rows.BLOCK.nr) == (Outcome.BLOCK, 0)
    assert not trial.shared.upcall_masked(0)
    assert trial.shared.upcall_masked(1)


def test_block_with_an_event_goes_on_to_the_upcall() -> None:
    trial = Trial()
    trial.shared.raise_upcall(0, 5)
    assert trial.call(rows.BLOCK.nr) == (Outcome.RESUME, 0)
    assert trial.vcpus[0].event_pending
    assert not trial.shared.upcall_masked(0)
    assert trial.call(rows.BLOCK.nr, by=1) == (Outcome.BLOCK, 0)


def test_block_lets_the_wing_deliver() -> None:
    """Not by hand: in a hybrid guest an upcall is an interrupt of the local APIC."""
    trial = Trial()
    told: list[Vcpu] = []
    trial.domain.notify = told.append
    trial.shared.raise_upcall(0, 5)
    trial.call(rows.BLOCK.nr)
    assert told == [trial.vcpus[0]]
    assert not trial.vcpus[0].event_pending


def test_yield() -> None:
    assert Trial().call(rows.YIELD.nr) == (Outcome.YIELD, 0)


def test_poll_a_port_that_is_pending() -> None:
    trial = Trial()
    trial.shared.set_pending(9, True)
    assert trial.poll(3, 9) == (Outcome.RESUME, 0)
    assert trial.shared.is_pending(9)
    assert trial.shared.upcall_masked(0), "masks are left"


def test_poll_until_a_port() -> None:
    trial = Trial()
    assert trial.poll(3, 9, due_ns=MS) == (Outcome.BLOCK, 0)
    trial.signal(4)
    assert not trial.woken.ids
    trial.signal(9)
    assert trial.woken.ids == [0]
    trial.clock.advance(2 * MS)
    assert (trial.woken.ids, trial.exits[0].result) == ([0], 0), "its time is over, too, but it has gone on"
    assert trial.clock.timers.next_due_ns is None


def test_poll_until_a_time() -> None:
    trial = Trial()
    assert trial.poll(3, due_ns=MS)[0] is Outcome.BLOCK
    trial.clock.advance(MS - 1)
    assert not trial.woken.ids
    trial.clock.advance(1)
    assert (trial.woken.ids, trial.exits[0].result) == ([0], TIME_OVER)
    trial.signal(3)
    assert trial.woken.ids == [0]


def test_poll_that_an_upcall_has_ended_is_not_ended_by_its_time() -> None:
    """The vCPU was woken, and others have the CPU until after the time that it would have waited."""
    trial = Trial()
    trial.vcpus[0].virtual_if = True
    assert trial.poll(3, due_ns=MS)[0] is Outcome.BLOCK
    trial.shared.raise_upcall(0, 5)
    trial.domain.notify(trial.vcpus[0])
    trial.clock.advance(MS)
    assert trial.exits[0].result == 0


@pytest.mark.parametrize(("due_ns", "result"), [(MS - 1, TIME_OVER), (MS, TIME_OVER), (MS + 1, None)])
def test_poll_to_a_time_that_has_passed(due_ns: int, result: int | None) -> None:
    trial = Trial()
    trial.clock.advance(MS)
    wanted = (Outcome.BLOCK, 0) if result is None else (Outcome.RESUME, result)
    assert trial.poll(3, due_ns=due_ns) == wanted


def test_two_vcpus_poll_the_same_port() -> None:
    trial = Trial()
    trial.poll(3, by=0)
    trial.poll(3, 4, by=1)
    trial.signal(3)
    assert trial.woken.ids == [0, 1]


def test_an_upcall_that_may_come_ends_a_poll_before_it_begins() -> None:
    trial = Trial()
    trial.shared.raise_upcall(0, 77)
    assert trial.poll(3)[0] is Outcome.BLOCK, "it is masked"
    trial.room.forget(0)
    trial.shared.set_upcall_masked(0, False)
    assert trial.poll(3) == (Outcome.RESUME, 0)
    assert trial.vcpus[0].event_pending


def test_who_runs_again_polls_no_more() -> None:
    trial = Trial()
    trial.poll(3, due_ns=MS)
    trial.room.forget(0)
    trial.signal(3)
    trial.clock.advance(2 * MS)
    assert (trial.woken.ids, trial.exits[0].result) == ([], 0)
    trial.room.forget(0)


@pytest.mark.parametrize(
    ("ports", "n_ports"),
    [((0,), 1), ((N_PORTS,), 1), ((0xFFFF_FFFF,), 1), ((1, 2, 0), 3), ((1,), POLL_MAX + 1), ((1,), 1 << 32)],
)
def test_poll_refused(ports: tuple[int, ...], n_ports: int) -> None:
    trial = Trial()
    trial.domain.memory.write(AT, struct.pack(f"<{len(ports)}I", *ports))
    assert trial.call(rows.POLL.nr, AT, n_ports, MS) == (Outcome.RESUME, -EINVAL.number)
    assert trial.clock.timers.next_due_ns is None


def test_poll_ports_from_nowhere() -> None:
    trial = Trial()
    trial.vcpus[0].absent.add(AT + 0x1000)
    assert trial.call(rows.POLL.nr, AT + 0xFFC, 2, MS) == (Outcome.RESUME, -EFAULT.number)
    assert trial.call(rows.POLL.nr, AT + 0xFFC, 0, MS)[0] is Outcome.BLOCK, "no ports, no pointer"


def test_polling_for_ever_again_and_again_leaves_no_heap() -> None:
    trial = Trial()
    for i in range(5_000):
        trial.poll(3, due_ns=10**12 + i)
        trial.room.forget(0)
    assert len(trial.clock.timers._heap) < 200


def test_without_a_shared_page_nothing_wakes() -> None:
    trial = Trial()
    trial.table = HypercallTable(ALL_FEATURES, [PowerRoom().served])
    assert trial.call(rows.BLOCK.nr) == (Outcome.BLOCK, 0)
