# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases by real guests: the runner guest (tests/para/guests/steps.S) reads the steps from its memory.

Where two domains take part they take turns: each makes its steps up to the other's next one, as
many at a time as the guest has room for.
"""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from pvisor.abi.layout import unpack
from pvisor.cpu.vcpu import RDI
from pvisor.domain.outcome import EndedBy, Ending
from pvisor.machine.console import ConsoleOutput
from pvisor.para.cpu import ParaWing
from pvisor.vmm.builder import Machine, build
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.loop import RunLoop
from pvisor.vmm.world import World
from tests.conformance.case import Case
from tests.conformance.plan import Layout, Number, Op, Operation, Planner, Ref, compare
from tests.conformance.rows import initial
from tests.conformance.verdict import CaseError, Report, Verdict
from tests.domain.fakes import FakeInput

GUESTS = Path(__file__).resolve().parent.parent / "para" / "guests"
INCLUDE = GUESTS.parent.parent.parent / "guest_sdk" / "include"
PAGES, PAGES_GPA = 0xFFFF_8800_0000_0000, 0x12_0000
RECORD_WORDS, MAX_RECORDS = 12, 95
TURN_IS_OVER = 42 << 1 | 1
MEMORY_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Runner:
    """The runner guest's file, and where its parts lie."""

    elf: Path
    records: int
    results: int
    data: int
    asleep: int


def build_runner(folder: Path) -> Runner:
    """Compile the runner guest."""
    elf = folder / "steps.elf"
    flags = "-nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack"
    sources = ["-T", str(GUESTS / "runner.lds"), str(GUESTS / "steps.S")]
    subprocess.run(["gcc", *flags.split(), f"-I{INCLUDE}", *sources, "-o", str(elf)], check=True)
    names = subprocess.run(["nm", str(elf)], check=True, capture_output=True, text=True).stdout.split("\n")
    at = {line.split()[2]: int(line.split()[0], 16) for line in names if line}
    return Runner(elf, at["records"], at["results"], at["data"], at["asleep"])


def run_on_guests(case: Case, runner: Runner, *, tier: str, transport: str) -> Report:
    """Try a case by real guests."""
    with ExitStack() as owned:
        config = DomainConfig(
            runner.elf, "para", MEMORY_BYTES, max_insns=1_000_000, tier=tier, transport=transport,
            debug_abi=tier == "python", n_vcpus=case.n_vcpus,
        )  # fmt: skip
        world, machines = World(), {}
        for domid in (1, 2) if case.world == "two" else (1,):
            machines[domid] = build(config, ConsoleOutput(), FakeInput(b""), domid=domid, world=world)
            world.store.delete(f"/domain/{domid}/device")  # cases begin with an empty home
            owned.callback(machines[domid].close)
        wing = machines[1].domain.wing
        assert isinstance(wing, ParaWing)
        missing = case.needs & ~wing.offered_features
        if missing:
            return Report(Verdict.SKIP, f"features {missing:#x} are not offered")
        return Play(case, runner, machines).play()


class Play:
    """One run of a case."""

    def __init__(self, case: Case, runner: Runner, machines: dict[int, Machine]) -> None:
        self._case, self._runner, self._machines = case, runner, machines
        layouts = {domid: self._layout(machine) for domid, machine in machines.items()}
        self._plan = Planner(case, layouts)
        self._loops = {domid: _loop(machine) for domid, machine in machines.items()}

    def _layout(self, machine: Machine) -> Layout:
        start = unpack("pv_start_info", machine.domain.memory.read(machine.vcpu.regs.gpr[RDI], 128))
        return Layout(PAGES, PAGES_GPA, self._runner.data, self._runner.asleep, start)

    def play(self) -> Report:
        """The verdict."""
        try:
            self._plan.plan()
        except CaseError as error:
            return Report(Verdict.ERROR, str(error))
        for machine in self._machines.values():
            machine.domain.memory.write(PAGES_GPA, initial())
        for domid, at, content in self._plan.contents:
            self._machines[domid].domain.memory.write(at, content)
        operations = self._plan.operations
        results: list[int | None] = [None] * len(operations)
        numbered = list(enumerate(operations))
        for domid, group in groupby(numbered, key=lambda pair: pair[1].by):
            turn = list(group)
            for first in range(0, len(turn), MAX_RECORDS):
                ending = self._turn(domid, turn[first : first + MAX_RECORDS], results)
                if ending is not None:
                    return self._ended(ending, results)
        if self._case.ends is not None:
            return Report(Verdict.FAILURE, f"ends with None, not {self._case.ends}")
        return compare(self._case, operations, results)

    def _ended(self, ending: Ending, results: list[int | None]) -> Report:
        if self._case.ends is None:
            why = ending.reason or "the domain has ended"
            return compare(self._case, self._plan.operations, results, why)
        if ending.status != self._case.ends:
            return Report(
                Verdict.FAILURE, f"ends with {ending.status}, not {self._case.ends}: {ending.reason}"
            )
        return compare(self._case, self._plan.operations, results)

    def _turn(
        self, domid: int, turn: list[tuple[int, Operation]], results: list[int | None]
    ) -> Ending | None:
        """Let one domain make operations; their results. None: it goes on, as it should."""
        machine = self._machines[domid]
        memory = machine.domain.memory
        first = turn[0][0]
        words = [word for _, one in turn for word in _record(one, first, results)] + [0] * RECORD_WORDS
        for i, word in enumerate(words):
            memory.write_u64(self._runner.records + 8 * i, word)
        ending = self._loops[domid].run()
        n_done = memory.read_u64(self._runner.results + 8 * (MAX_RECORDS + 1) + 40)
        for i in range(min(n_done, len(turn))):
            results[first + i] = memory.read_u64(self._runner.results + 8 * i)
        if (ending.ended_by, ending.status) == (EndedBy.GUEST, TURN_IS_OVER):
            machine.domain.ending = None
            return None
        return ending


def _loop(machine: Machine) -> RunLoop:
    return RunLoop(machine.domain, machine.vcpus, on_kick=lambda: None, drain_trace=lambda: None,
                   on_turn=machine.on_turn)  # fmt: skip


def _record(operation: Operation, first: int, results: list[int | None]) -> list[int]:
    """An operation as the guest reads it; results of earlier turns are numbers by now."""
    words, refs = [], []
    args: list[Number] = [*operation.args, *[0] * (5 - len(operation.args))]
    for arg in args:
        if isinstance(arg, Ref) and arg.index < first:
            arg = (results[arg.index] or 0) + arg.plus
        words.append((arg.plus if isinstance(arg, Ref) else arg) & (1 << 64) - 1)
        refs.append(arg.index - first + 1 if isinstance(arg, Ref) else 0)
    return [Op(operation.op), operation.what, *words, *refs]
