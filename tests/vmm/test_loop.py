# SPDX-License-Identifier: GPL-2.0-or-later
"""The run loop on a scripted vCPU: what each reason and each outcome lead to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pvisor.abi.areas.console import CONSOLE_WRITE
from pvisor.abi.areas.itself import NOOP
from pvisor.abi.areas.power import BLOCK, SHUTDOWN, YIELD
from pvisor.cpu.exits import ExitReason as R
from pvisor.domain.domain import Domain
from pvisor.domain.outcome import EndedBy, Ending, Outcome
from pvisor.vmm.loop import BUDGET_USED, IDLE, INTERRUPTED, RunLoop
from tests.domain.fakes import FakeExit, FakeVcpu, para_domain

OFF = FakeExit(reason=R.HYPERCALL, number=SHUTDOWN.nr)


def called(nr: int, *args: int) -> FakeExit:
    return FakeExit(reason=R.HYPERCALL, number=nr, args=[*args, 0, 0, 0, 0, 0][:5])


class Trial:
    """A loop over a script."""

    def __init__(self, *script: FakeExit, on_kick: Callable[[], Ending | None] = lambda: None) -> None:
        self.domain: Domain
        self.domain, _ = para_domain()
        self.vcpu = FakeVcpu(self.domain.memory, script)
        self.drained = 0
        self.loop = RunLoop(self.domain, self.vcpu, on_kick=on_kick, drain_trace=self._drain)

    def _drain(self) -> None:
        self.drained += 1


def test_shutdown_ends_the_run() -> None:
    trial = Trial(called(NOOP.nr), called(YIELD.nr), called(SHUTDOWN.nr, 0, 3), called(NOOP.nr))
    assert trial.loop.run() == Ending(EndedBy.GUEST, 7)
    assert trial.domain.ending == Ending(EndedBy.GUEST, 7)
    assert trial.vcpu.exit.outcome == Outcome.STOP


def test_a_domain_that_nothing_can_wake_ends() -> None:
    trial = Trial(called(BLOCK.nr))
    assert trial.loop.run() == IDLE
    assert (IDLE.ended_by, IDLE.status) == (EndedBy.IDLE, 124)
    assert trial.vcpu.exit.outcome == Outcome.BLOCK


def test_a_yield_is_written_into_the_exit() -> None:
    trial = Trial(called(NOOP.nr), called(YIELD.nr), OFF)
    trial.loop.run()
    assert trial.vcpu.outcomes == [Outcome.RESUME, Outcome.YIELD]


def test_the_budget() -> None:
    assert Trial(FakeExit(reason=R.BUDGET)).loop.run() == BUDGET_USED
    assert BUDGET_USED.status == 124


def test_a_kick_may_end_the_run_or_not() -> None:
    answers = [None, INTERRUPTED]
    kick = FakeExit(reason=R.KICK)
    trial = Trial(kick, called(NOOP.nr), kick, on_kick=lambda: answers.pop(0))
    assert trial.loop.run() == INTERRUPTED
    assert INTERRUPTED.status == 130


def test_a_full_trace_is_drained() -> None:
    trial = Trial(FakeExit(reason=R.TRACE_FULL), FakeExit(reason=R.TRACE_FULL), OFF)
    trial.loop.run()
    assert trial.drained == 2


def test_a_crash_is_an_ending() -> None:
    trial = Trial(FakeExit(reason=R.PAGE_FAULT, vector=14, cr2=0x123, error_code=2))
    ending = trial.loop.run()
    assert (ending.ended_by, ending.status) == (EndedBy.CRASH, 134)
    assert ending.reason == "page fault: write to 0x123, which is not mapped"
    assert trial.vcpu.exit.outcome == Outcome.STOP


def test_a_crash_inside_a_hook_is_the_same() -> None:
    trial = Trial(FakeExit(reason=R.IO_OUT, in_hook=1, ioport=0x80, size_bytes=1))
    ending = trial.loop.run()
    assert (ending.ended_by, ending.status) == (EndedBy.CRASH, 134)
    assert "0x80" in ending.reason


def test_an_exit_inside_a_hook_that_goes_on() -> None:
    trial = Trial(FakeExit(reason=R.CPUID, in_hook=1), FakeExit(reason=R.RDTSC, in_hook=1), OFF)
    assert trial.loop.run().status == 0


def test_a_mistake_of_ours_surfaces_as_itself_with_its_place() -> None:
    trial = Trial(called(CONSOLE_WRITE.nr, 0x1000, 1))

    def broken(data: bytes) -> None:
        raise ZeroDivisionError("ours")

    trial.domain.console.write = broken  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError, match="ours") as caught:
        trial.loop.run()
    notes = getattr(caught.value, "__notes__", None) or [caught.value.__dict__["pvisor_place"]]
    assert notes == ["d7/v0 at exit hypercall, RIP 0x200000"]
    assert trial.domain.ending is None


def test_the_engines_own_trouble_is_no_crash_of_the_guest() -> None:
    trial = Trial(FakeExit(reason=R.ENGINE_ERROR))
    trial.vcpu.error = "it broke"
    with pytest.raises(RuntimeError, match="it broke"):
        trial.loop.run()


@pytest.mark.parametrize("reason", [0, 42, 47])
def test_an_unknown_reason_raises(reason: int) -> None:
    with pytest.raises(RuntimeError):
        Trial(FakeExit(reason=reason)).loop.run()
