# SPDX-License-Identifier: GPL-2.0-or-later
"""What a kernel's everyday operations cost, in each mode: the rows of `pvisor bench`.

Each row is a part of one SDK program (guest_sdk/bench/operations.c) that does one thing n times, built for
either wing; `emu` runs that of `full`. It is run with two numbers, and the difference of the runs counts:
start-up is in both, and goes away. Time is that of the host's CPU, which others on a busy host do not
lengthen as much, and all rows are sampled in turn, so ratios between modes are those of one run and one tier.

A row's floor is what the engine takes for as many exits when its hooks do nothing: a trap counts as the bare
CLI of bench.py, a hypercall as its bare SYSCALL, any other exit as the bare OUT. It leaves out the guest's
instructions and page walks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from pvisor.cpu.exits import ExitClass, ExitReason
from pvisor.domain.outcome import EndedBy
from pvisor.emu.vcpu import lane_works
from pvisor.observe.bench import BenchResult, Effort, Row, host_facts, measure_floors
from pvisor.observe.bench_guest import OPERATIONS
from pvisor.paths import sdk_dir
from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import DiskConfig, DomainConfig, RunResult
from pvisor.vmm.hypervisor import Hypervisor

MODES = ("full", "para", "emu")
LONG_EFFORT = Effort(n_rounds=7, sample_ms=30)
SHORT_EFFORT = Effort(n_rounds=3, sample_ms=5)
_N_SHORT, _N_FIRST = 20, 200
"""Operations of the short run, and how many more the first long one has."""
_N_SHORT_LARGE, _N_FIRST_LARGE = 1, 2
"""The same of operations that do very much at once."""
_MAX_OPERATIONS = 200_000
_MEMORY_BYTES = 16 << 20
_FLOORS = tuple(operation for operation in OPERATIONS if operation.name in ("cli", "out", "hypercall_noop"))
_FLOOR_EFFORT = Effort(n_rounds=3, sample_ms=1)
_DISK_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class KernelOperation:
    """A row: its name, in the results and for the guest, and what is done."""

    name: str
    what: str
    modes: tuple[str, ...] = MODES
    """Where it exists."""
    answer: str = ""
    """Two domains do it: what the second runs."""
    is_large: bool = False

    @property
    def n_short(self) -> int:
        """Operations of the short run."""
        return _N_SHORT_LARGE if self.is_large else _N_SHORT

    @property
    def n_first(self) -> int:
        """Operations of the first long run."""
        return self.n_short + (_N_FIRST_LARGE if self.is_large else _N_FIRST)


KERNEL_OPERATIONS = (
    KernelOperation("interrupt_mask", "interrupts off, and as they were"),
    KernelOperation("interrupt", "an interrupt of its own, to the handler, its end, and back"),
    KernelOperation("timer", "a timer set, waited for, and handled"),
    KernelOperation("time_read", "the time, in nanoseconds"),
    KernelOperation("system_call", "a system call out of ring 3, and back"),
    KernelOperation("root_switch", "another address space"),
    KernelOperation("map_unmap", "a page mapped, written, and unmapped"),
    KernelOperation("page_fault", "a page fault, to the handler and back"),
    KernelOperation("msr_write", "WRMSR of KERNEL_GS_BASE", ("full", "emu")),
    KernelOperation("entry_set_512", "512 entries of a table, changed and flushed one by one", is_large=True),
    KernelOperation("entry_batch_512", "512 entries of a table, changed and flushed together", is_large=True),
    KernelOperation("remap_512", "the same, and each of the pages read", is_large=True),
    KernelOperation("remap_later_512", "the same, by the SDK: unmapped and mapped, later", is_large=True),
    KernelOperation("disk_read_4k", "4 KiB of the disk"),
    KernelOperation("disk_read_64k", "64 KiB of the disk", is_large=True),
    KernelOperation("console_line", "a line of 64 characters"),
    KernelOperation("console_64k", "64 KiB of such lines", is_large=True),
    KernelOperation("event_trip", "an event to a domain that waits: one way of there and back", ("para",),
                    answer="event_answer"),
)  # fmt: skip
"""All that is measured."""


@dataclass(frozen=True, slots=True)
class _Counts:
    """What a run came to, over its domains."""

    exits: dict[ExitReason, int]
    n_native: int
    n_instructions: int

    @classmethod
    def of(cls, results: Sequence[RunResult]) -> _Counts:
        """The sums."""
        exits = {
            reason: sum(
                result.exits[reason.label].count for result in results if reason.label in result.exits
            )
            for reason in ExitReason
        }
        n_native = sum(row.native for result in results for row in result.exits.values())
        return cls(exits, n_native, sum(result.n_instructions for result in results))

    def __sub__(self, other: _Counts) -> _Counts:
        """What this one has more."""
        exits = {reason: n - other.exits[reason] for reason, n in self.exits.items()}
        return _Counts(exits, self.n_native - other.n_native, self.n_instructions - other.n_instructions)

    @property
    def n_exits(self) -> int:
        """Of all reasons."""
        return sum(self.exits.values())


@dataclass(slots=True)
class _Lane:
    """One operation in one mode."""

    operation: KernelOperation
    mode: str
    tier: str
    kernel: Path
    disk: Path
    samples: list[float] = field(default_factory=list)
    n_long: int = 0
    counts: _Counts | None = None

    def calibrate(self, sample_ms: float) -> None:
        """Warm up, and find how many operations fill a sample: each time four times as many until they do."""
        short_ns = min(self._run(self.operation.n_short)[1], self._run(self.operation.n_short)[1])
        self.n_long = self.operation.n_first
        while self.n_long < _MAX_OPERATIONS:
            if self._run(self.n_long)[1] - short_ns > sample_ms * 1e6:
                break
            self.n_long *= 4

    def take_sample(self) -> None:
        """One pair of runs."""
        (short, short_ns), (long, long_ns) = self._run(self.operation.n_short), self._run(self.n_long)
        self.samples.append((long_ns - short_ns) / self.n_operations)
        self.counts = long - short

    @property
    def n_operations(self) -> int:
        """By how many the two runs differ."""
        return self.n_long - self.operation.n_short

    def _run(self, n_operations: int) -> tuple[_Counts, int]:
        operation = self.operation
        names = [operation.name, operation.answer] if operation.answer else [operation.name]
        begin = time.thread_time_ns()
        with Hypervisor() as hypervisor:
            domains = [
                hypervisor.create(
                    DomainConfig(
                        self.kernel, mode=self.mode, tier=self.tier, memory_bytes=_MEMORY_BYTES,
                        cmdline=f"{name} {n_operations}", disks=(DiskConfig(self.disk, read_only=True),),
                    )
                )
                for name in names
            ]  # fmt: skip
            hypervisor.run()
        spent_ns = time.thread_time_ns() - begin
        for domain in domains:
            if domain.stats.ending.ended_by is not EndedBy.GUEST or domain.status != 0:
                said = domain.console.text[-200:]
                reason = domain.stats.ending.reason
                raise RuntimeError(f"{operation.name} ended otherwise in {self.mode}: {reason}\n{said}")
        return _Counts.of([domain.stats for domain in domains]), spent_ns

    def row(self, floors: dict[str, float]) -> Row:
        """What came of it."""
        assert self.counts is not None
        counts, n_operations = self.counts, self.n_operations
        floor = sum(n * _floor_of(reason, self.mode, floors) for reason, n in counts.exits.items())
        return Row(
            self.operation.name, self.mode, self.tier,
            round(median(self.samples), 1), round(min(self.samples), 1), round(max(self.samples), 1),
            len(self.samples), round(counts.n_exits / n_operations, 2),
            round(counts.n_instructions / n_operations, 2), round(floor / n_operations, 1),
            "native" if counts.n_native * 2 > counts.n_exits else "python",
        )  # fmt: skip


def run_operations(
    effort: Effort = LONG_EFFORT,
    tier: str = "native",
    operations: Sequence[KernelOperation] = KERNEL_OPERATIONS,
    each_round: Callable[[], object] = lambda: None,
) -> BenchResult:
    """Measure each operation in each mode where it exists. Some seconds.

    `each_round` is called in each round, to measure something else in turn with it. Without the lane on this
    host `emu` is left out. Raises UsageError and BuildError where the guest cannot be built.
    """
    with TemporaryDirectory(prefix="pvisor-bench-") as folder:
        kernels = build_operations(Path(folder))
        disk = Path(folder) / "disk.img"
        disk.write_bytes(bytes(_DISK_BYTES))
        lanes = [
            _Lane(operation, mode, tier, kernels[mode], disk)
            for operation in operations
            for mode in operation.modes
            if mode != "emu" or lane_works()
        ]
        for lane in lanes:
            lane.calibrate(effort.sample_ms)
        rounds = []
        for _ in range(effort.n_rounds):
            each_round()
            for lane in lanes:
                lane.take_sample()
            rounds.append(measure_floors(_FLOOR_EFFORT, _FLOORS))
    floors = {floor.name: min(each[floor.name] for each in rounds) for floor in _FLOORS}
    return BenchResult(host_facts(), tuple(lane.row(floors) for lane in lanes))


def build_operations(folder: Path) -> dict[str, Path]:
    """The program, by mode. Raises UsageError and BuildError."""
    source, built = sdk_dir() / "bench" / "operations.c", {}
    for mode in ("full", "para"):
        built[mode] = build_guest([source], folder / f"{mode}.elf", mode).path
    return built | {"emu": built["full"]}


def _floor_of(reason: ExitReason, mode: str, floors: dict[str, float]) -> float:
    """In the lane every exit is the engine's own call of a hook: nothing traps there."""
    if reason is ExitReason.HYPERCALL:
        return floors["hypercall_noop"]
    is_trap = mode != "emu" and reason.exit_class is ExitClass.TRAP
    return floors["cli" if is_trap else "out"]
