# SPDX-License-Identifier: GPL-2.0-or-later
"""PV_VIRQ_CONSOLE: a domain is told of its input when it has asked for that, and again after each read."""

from __future__ import annotations

import pytest

from pvisor.abi.areas.console import CONSOLE_READ, CONSOLE_WRITE
from pvisor.cpu.exits import ExitReason
from pvisor.para.console import ConsoleInputRoom
from pvisor.para.cpu import ParaWing
from tests.domain.fakes import FakeInput
from tests.para.ring_rig import DATA, Station


class Rig(Station):
    """A domain with the room alone; `told` are the times of its signals."""

    def __init__(self, input: FakeInput) -> None:
        super().__init__(input)
        self.told: list[int] = []
        self.room = ConsoleInputRoom(self.domain, lambda: self.told.append(self.now_ns))
        self.domain.wing = ParaWing(2, console_calls=self.room.served)

    def read(self, n_bytes: int) -> int:
        """CONSOLE_READ into the page at DATA."""
        exit = self.domain.vcpus[0].exit
        exit.reason, exit.number, exit.virtual_ns = ExitReason.HYPERCALL, CONSOLE_READ.nr, self.now_ns
        exit.args[0], exit.args[1] = DATA, n_bytes
        self.domain.wing.handlers[ExitReason.HYPERCALL](self.domain, self.domain.vcpus[0], exit)
        return int(exit.result)


def test_it_serves_both_calls() -> None:
    assert set(Rig(FakeInput(b"")).room.served.answers) == {CONSOLE_READ, CONSOLE_WRITE}


def test_a_domain_that_does_not_ask_is_not_told_and_has_no_deadline() -> None:
    rig = Rig(FakeInput(b"typed", at_ns=500))
    assert rig.read(5) == 0
    assert rig.domain.timers.next_due_ns is None and not rig.domain.watches
    rig.pass_time(1000)
    assert rig.told == []


@pytest.mark.parametrize("at_ns", [0, 500])
def test_told_once(at_ns: int) -> None:
    rig = Rig(FakeInput(b"typed", at_ns))
    rig.room.watch()
    rig.pass_time(10_000)
    assert rig.told == [max(at_ns, 1)], "not inside the call that asks, but as soon as there is something"
    assert rig.domain.timers.next_due_ns is None


def test_told_again_of_what_is_left() -> None:
    rig = Rig(FakeInput(b"typed"))
    rig.room.watch()
    rig.pass_time(10)
    assert rig.read(3) == 3
    rig.pass_time(20)
    assert len(rig.told) == 2
    assert rig.read(100) == 2 and rig.memory.read(DATA, 2) == b"ed"
    rig.pass_time(30)
    assert len(rig.told) == 2 and rig.domain.timers.next_due_ns is None


def test_told_of_what_comes_after_an_empty_read() -> None:
    rig = Rig(FakeInput(b"typed", at_ns=5000))
    rig.room.watch()
    assert rig.read(3) == 0
    rig.pass_time(5000)
    assert rig.told == [5000]


def test_asking_twice_is_as_good_as_once() -> None:
    rig = Rig(FakeInput(b"typed", at_ns=5000))
    rig.room.watch()
    rig.room.watch()
    rig.pass_time(6000)
    assert rig.told == [5000] and len(rig.domain.watches) == 1
