# SPDX-License-Identifier: GPL-2.0-or-later
"""vCPUs whose programs only take time and make exits, for a physical CPU to share out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from pvisor.abi.areas.itself import NOOP
from pvisor.abi.areas.power import BLOCK, SHUTDOWN, YIELD
from pvisor.cpu.exits import ExitReason
from pvisor.domain.domain import Domain
from pvisor.domain.outcome import Ending
from pvisor.machine.timers import Timers
from pvisor.vmm.credit import Account
from pvisor.vmm.member import Member
from pvisor.vmm.physical_cpu import PhysicalCpu
from tests.domain.fakes import FakeExit, FakeVcpu, para_domain

US, MS, S = 1_000, 1_000_000, 1_000_000_000
Program = Iterator[int | FakeExit]
"""Runs for so many nanoseconds, or exits."""


def called(nr: int, *args: int) -> FakeExit:
    """A hypercall."""
    return FakeExit(reason=ExitReason.HYPERCALL, number=nr, args=[*args, 0, 0, 0, 0, 0][:5])


def off(status: int = 0) -> FakeExit:
    """The end."""
    return called(SHUTDOWN.nr, 0, status)


def sleep() -> FakeExit:
    """BLOCK."""
    return called(BLOCK.nr)


def give_way() -> FakeExit:
    """YIELD."""
    return called(YIELD.nr)


def spin(ns: int, step_ns: int = 100 * US) -> Program:
    """Runs for so long, with a call now and then, and ends."""
    for _ in range(ns // step_ns):
        yield step_ns
        yield called(NOOP.nr)
    yield off()


class TimedVcpu(FakeVcpu):
    """Runs a program. It comes back at the end of a slice and at deadlines, as the engine does."""

    def __init__(self, domain: Domain, program: Program) -> None:
        super().__init__(domain.memory)
        self.virtual_if = True
        self.turns: list[tuple[int, int]] = []
        """(from, to) in virtual time, of each entry into the program."""
        self._program = program
        self._left_ns = 0
        self.is_kicked = False

    def kick(self) -> None:
        """Come back at once."""
        self.is_kicked = True

    def run(self) -> int:
        """To the next exit."""
        begin_ns = self.virtual_ns
        reason = self._run()
        if self.turns and self.turns[-1][1] == begin_ns:
            begin_ns = self.turns.pop()[0]
        self.turns.append((begin_ns, self.virtual_ns))
        return reason

    def _run(self) -> int:
        while True:
            if self.is_kicked:
                self.is_kicked = False
                return self._stopped(ExitReason.KICK)
            if self.virtual_if and self.event_pending:
                self.event_pending = False
            now_ns = self.virtual_ns
            if self.deadline_ns is not None and self.deadline_ns <= now_ns:
                return self._stopped(ExitReason.DEADLINE)
            if self.slice_ns is not None and self.slice_ns <= now_ns:
                return self._stopped(ExitReason.SLICE)
            if not self._left_ns:
                what = next(self._program)
                if isinstance(what, FakeExit):
                    return self._exit(what)
                self._left_ns = what
                continue
            stops = [one for one in (self.deadline_ns, self.slice_ns) if one is not None]
            step_ns = min([self._left_ns, *(stop - now_ns for stop in stops)])
            self.n_instructions += step_ns
            self._left_ns -= step_ns

    def _stopped(self, reason: ExitReason) -> int:
        return self._exit(FakeExit(reason=reason))

    def _exit(self, exit: FakeExit) -> int:
        exit.virtual_ns = self.virtual_ns
        for one in fields(FakeExit):
            setattr(self.exit, one.name, getattr(exit, one.name))
        return self.exit.reason


class Guest:
    """A domain of such vCPUs on a physical CPU."""

    def __init__(
        self, cpu: PhysicalCpu, *programs: Program, weight: int = 256, cap_percent: int = 0
    ) -> None:
        self.domain, _ = para_domain()
        self.vcpus = [TimedVcpu(self.domain, program) for program in programs]
        for vcpu_id, vcpu in enumerate(self.vcpus):
            vcpu.vcpu_id = vcpu_id
        self.domain.vcpus[:] = self.vcpus
        self.domain.timers = Timers(lambda: self.vcpus[0].virtual_ns)
        self.ends: list[Ending | None] = []
        self.on_kick_ending: Ending | None = None
        self.stolen: list[tuple[int, int]] = []
        self.drained = 0
        self.account = Account(weight, cap_percent)
        self.member: Member = cpu.add(
            self.domain, self.vcpus, self.account, on_kick=lambda: self.on_kick_ending,
            drain_trace=lambda vcpu: self._drain, on_turn=lambda v, ns: self.stolen.append((v, ns)),
        )  # fmt: skip
        self.member.on_end = lambda: self.ends.append(self.domain.ending)

    def _drain(self) -> None:
        self.drained += 1

    @property
    def vcpu(self) -> TimedVcpu:
        """The first."""
        return self.vcpus[0]

    @property
    def ran_ns(self) -> int:
        """Of all its vCPUs."""
        return sum(vcpu.n_instructions for vcpu in self.vcpus)

    def wake_at(self, due_ns: int, vcpu_id: int = 0) -> None:
        """An event comes."""
        self.domain.timers.at(due_ns, lambda: self.domain.notify(self.vcpus[vcpu_id]))

    def tick(self, period_ns: int) -> None:
        """Events come again and again."""

        def act() -> None:
            self.domain.notify(self.vcpu)
            self.tick(period_ns)

        self.domain.timers.at(self.domain.timers.now() + period_ns, act)


