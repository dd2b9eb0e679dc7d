# SPDX-License-Identifier: GPL-2.0-or-later
"""Batches: in order, each with its result, to the first call that gives the CPU away."""

from __future__ import annotations

import struct

import pytest

from pvisor.abi.areas import console, cpu, grants, itself, memory, power, store, time
from pvisor.abi.areas.itself import MULTICALL
from pvisor.abi.errnos import EFAULT, EINVAL, ENOSYS
from pvisor.abi.model import Hypercall
from pvisor.cpu.exits import ExitReason
from pvisor.domain.domain import handle_exit
from pvisor.domain.outcome import Outcome
from pvisor.errors import DomainCrash
from pvisor.para.cpu import ParaWing
from pvisor.para.multicall import ENTRY_BYTES, MAX, MulticallRoom
from pvisor.para.power import PowerRoom
from tests.domain.fakes import FakeExit, FakeVcpu, para_domain

AT, TEXT, END = 0x2_0000, 0x2_8000, 0x3_0000
ALL_FEATURES = (1 << 63) - 1
UNTOUCHED = 0x5EED_5EED
U64 = (1 << 64) - 1
Entry = tuple[Hypercall | int, tuple[int, ...]]


class Trial:
    """A domain that makes batches. There is nothing at END."""

    def __init__(self) -> None:
        self.domain, _ = para_domain()
        self.vcpu = FakeVcpu(self.domain.memory)
        self.domain.vcpus[:] = [self.vcpu]
        self.vcpu.absent.add(END)
        room = MulticallRoom()
        wing = ParaWing(ALL_FEATURES, (PowerRoom().served, room.served))
        self.domain.wing, room.table = wing, wing.calls
        self.domain.memory.write(TEXT, b"text")
        self.exit = FakeExit()

    def put(self, entries: list[Entry], at: int = AT) -> None:
        for i, (call, args) in enumerate(entries):
            number = call.nr if isinstance(call, Hypercall) else call
            words = (number, *args, *(0 for _ in range(5 - len(args))), UNTOUCHED)
            self.domain.memory.write(at + ENTRY_BYTES * i, struct.pack("<7Q", *words))

    def make(self, *entries: Entry, at: int = AT, n_calls: int | None = None) -> tuple[Outcome, int]:
        self.put(list(entries), at)
        n_calls = len(entries) if n_calls is None else n_calls
        self.exit = FakeExit(
            reason=ExitReason.HYPERCALL, number=MULTICALL.nr, args=[at, n_calls, 3, 4, 5], virtual_ns=99
        )
        self.vcpu.exit = self.exit
        return handle_exit(self.domain, self.vcpu, self.exit), self.exit.result

    def results(self, n: int, at: int = AT) -> list[int]:
        """Signed."""
        read = self.domain.memory.read
        return [struct.unpack("<q", read(at + ENTRY_BYTES * i + 48, 8))[0] for i in range(n)]


NOOP: Entry = (itself.NOOP, ())


def test_each_has_its_result() -> None:
    trial = Trial()
    batch: list[Entry] = [
        (itself.ABI_VERSION, ()), (console.CONSOLE_WRITE, (TEXT, 4)), (0x7F, ()), (time.TIME_GET, (0,)), NOOP,
    ]  # fmt: skip
    assert trial.make(*batch) == (Outcome.RESUME, 5)
    assert trial.results(5) == [1, 4, -ENOSYS.number, -EFAULT.number, 0]
    assert trial.domain.console.data == b"text"


def test_the_calls_own_registers_are_as_they_were() -> None:
    trial = Trial()
    trial.make((console.CONSOLE_WRITE, (TEXT, 4)), NOOP)
    assert trial.exit.number == MULTICALL.nr
    assert list(trial.exit.args) == [AT, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("call", "args", "outcome"),
    [(power.YIELD, (), Outcome.YIELD), (power.BLOCK, (), Outcome.BLOCK),
     (power.SHUTDOWN, (0, 3), Outcome.STOP)],
)  # fmt: skip
def test_who_gives_the_cpu_away_ends_the_batch(
    call: Hypercall, args: tuple[int, ...], outcome: Outcome
) -> None:
    trial = Trial()
    assert trial.make(NOOP, (call, args), NOOP) == (outcome, 2)
    assert trial.results(3)[0] == 0
    assert trial.results(3)[2] == UNTOUCHED
    if outcome is not Outcome.STOP:
        assert trial.results(3)[1] == 0


def test_a_shutdown_that_is_refused_does_not() -> None:
    trial = Trial()
    assert trial.make((power.SHUTDOWN, (7, 0)), NOOP) == (Outcome.RESUME, 2)
    assert trial.results(2) == [-EINVAL.number, 0]


def test_a_crash_in_a_batch_is_one() -> None:
    with pytest.raises(DomainCrash):
        Trial().make((power.SHUTDOWN, (2, 0)))


@pytest.mark.parametrize("call", [MULTICALL, power.POLL, power.VCPU_DOWN, cpu.IRET], ids=lambda c: c.name)
def test_what_goes_on_elsewhere_cannot_be_in_a_batch(call: Hypercall) -> None:
    trial = Trial()
    assert trial.make((call, (AT, 1)), NOOP) == (Outcome.RESUME, 2)
    assert trial.results(2) == [-EINVAL.number, 0]


def test_numbers_and_arguments_are_of_64_bits() -> None:
    trial = Trial()
    assert trial.make((1 << 32 | itself.ABI_VERSION.nr, ()), (itself.FEATURES, (1 << 32,)), (U64, ())) == (
        Outcome.RESUME, 3,
    )  # fmt: skip
    assert trial.results(3) == [-ENOSYS.number, -EINVAL.number, -ENOSYS.number]


@pytest.mark.parametrize("n_calls", [MAX + 1, (1 << 32) - 1, 1 << 32])
def test_too_many(n_calls: int) -> None:
    trial = Trial()
    assert trial.make(NOOP, n_calls=n_calls) == (Outcome.RESUME, -EINVAL.number)
    assert trial.results(1) == [UNTOUCHED]


def test_as_many_as_there_may_be() -> None:
    trial = Trial()
    assert trial.make(*[NOOP] * MAX) == (Outcome.RESUME, MAX)
    assert trial.results(MAX) == [0] * MAX


@pytest.mark.parametrize(
    ("calls", "n_made"),
    [([memory.TABLE_UPDATE] * 5, 4), ([memory.MEMORY_RELEASE] * 3 + [itself.NOOP] * 17, 19),
     ([grants.GRANT_COPY] * 17, 16), ([itself.NOOP, store.STORE_END, itself.NOOP], 2)],
)  # fmt: skip
def test_long_calls_end_the_batch_sooner(calls: list[Hypercall], n_made: int) -> None:
    trial = Trial()
    assert trial.make(*((call, ()) for call in calls)) == (Outcome.RESUME, n_made)
    results = trial.results(len(calls))
    assert UNTOUCHED not in results[:n_made] and results[n_made:] == [UNTOUCHED] * (len(calls) - n_made)


def test_none_at_all() -> None:
    trial = Trial()
    assert trial.make(at=END) == (Outcome.RESUME, 0)


@pytest.mark.parametrize("at", [END - ENTRY_BYTES, 0, U64 - 55, 0xFFFF_8000_0000_1000])
def test_an_array_that_is_not_all_there(at: int) -> None:
    trial = Trial()
    if at == END - ENTRY_BYTES:
        trial.put([(console.CONSOLE_WRITE, (TEXT, 4))], at)
    exit = FakeExit(reason=ExitReason.HYPERCALL, number=MULTICALL.nr, args=[at, 2, 0, 0, 0])
    assert handle_exit(trial.domain, trial.vcpu, exit) is Outcome.RESUME
    assert exit.result == -EFAULT.number
    assert not trial.domain.console.data


def test_an_array_that_cannot_be_written() -> None:
    trial = Trial()
    trial.vcpu.read_only.add(AT)
    assert trial.make((console.CONSOLE_WRITE, (TEXT, 4)))[1] == -EFAULT.number
    assert not trial.domain.console.data


def test_the_array_is_read_once() -> None:
    """The second entry is what it was when the batch began, though the first call has written over it."""
    trial = Trial()
    trial.make((time.TIME_GET, (AT + ENTRY_BYTES,)), (itself.ABI_VERSION, ()))
    assert trial.results(2) == [0, 1]
    assert [line for line in trial.vcpu.log if "copy_in" in line] == [f"copy_in {AT:#x} {2 * ENTRY_BYTES}"]
