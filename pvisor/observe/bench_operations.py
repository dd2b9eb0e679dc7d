# SPDX-License-Identifier: GPL-2.0-or-later
"""What a kernel's everyday operations cost, in the mode `full` and in `emu`: the rows of `pvisor bench`.

Each row is a part of one SDK program (guest_sdk/bench/operations.c) that does one thing n times. It is run
with two numbers, and the difference of the runs counts: start-up is in both, and goes away. Time is that of
the host's CPU, which others on a busy host do not lengthen as much, and all rows are sampled in turn.

A row's floor is what the engine takes for as many exits when its hooks do nothing: a trap counts as the bare
CLI of bench.py, any other exit as the bare OUT. It leaves out the guest's instructions and page walks.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
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
from pvisor.vmm.run import run_domain

MODES = ("full", "emu")
LONG_EFFORT = Effort(n_rounds=7, sample_ms=30)
SHORT_EFFORT = Effort(n_rounds=3, sample_ms=5)
_N_SHORT, _N_FIRST = 20, 220
"""Operations of the short run, and of the first long one."""
_MAX_OPERATIONS = 200_000
_MEMORY_BYTES = 16 << 20
_FLOORS = tuple(operation for operation in OPERATIONS if operation.name in ("cli", "out"))
_FLOOR_EFFORT = Effort(n_rounds=3, sample_ms=1)
_DISK_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class KernelOperation:
    """A row: its name, in the results and for the guest, and what is done."""

    name: str
    what: str


KERNEL_OPERATIONS = (
    KernelOperation("interrupt_mask", "interrupts off, and as they were"),
    KernelOperation("interrupt", "an interrupt of its own, to the handler, its end, and back"),
    KernelOperation("timer", "a timer set, waited for, and handled"),
    KernelOperation("system_call", "a system call out of ring 3, and back"),
    KernelOperation("root_switch", "another address space"),
    KernelOperation("map_unmap", "a page mapped, written, and unmapped"),
    KernelOperation("page_fault", "a page fault, to the handler and back"),
    KernelOperation("msr_write", "WRMSR of KERNEL_GS_BASE"),
    KernelOperation("disk_read_4k", "4 KiB of the disk"),
    KernelOperation("console_line", "a line of 64 characters"),
)
"""All that is measured."""


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
    counts: tuple[RunResult, RunResult] | None = None

    def calibrate(self, sample_ms: float) -> None:
        """Warm up, and find how many operations fill a sample: each time four times as many until they do."""
        short_ns = min(self._run(_N_SHORT)[1], self._run(_N_SHORT)[1])
        self.n_long = _N_FIRST
        while self.n_long < _MAX_OPERATIONS:
            if self._run(self.n_long)[1] - short_ns > sample_ms * 1e6:
                break
            self.n_long *= 4

    def take_sample(self) -> None:
        """One pair of runs."""
        (short, short_ns), (long, long_ns) = self._run(_N_SHORT), self._run(self.n_long)
        self.samples.append((long_ns - short_ns) / (self.n_long - _N_SHORT))
        self.counts = short, long

    def _run(self, n_operations: int) -> tuple[RunResult, int]:
        begin = time.thread_time_ns()
        result = run_domain(
            DomainConfig(
                self.kernel, mode=self.mode, tier=self.tier, memory_bytes=_MEMORY_BYTES,
                cmdline=f"{self.operation.name} {n_operations}",
                disks=(DiskConfig(self.disk, read_only=True),),
            )
        )  # fmt: skip
        spent_ns = time.thread_time_ns() - begin
        if result.ending.ended_by is not EndedBy.GUEST or result.ending.status != 0:
            said = result.output[-200:].decode("utf-8", "replace")
            raise RuntimeError(
                f"{self.operation.name} ended otherwise in {self.mode}: {result.ending.reason}\n{said}"
            )
        return result, spent_ns

    def row(self, floors: dict[str, float]) -> Row:
        """What came of it."""
        assert self.counts is not None
        short, long = self.counts
        n_operations = self.n_long - _N_SHORT
        exits = {
            reason: long.exits[reason.label].count - _count(short, reason)
            for reason in ExitReason
            if reason.label in long.exits
        }
        n_native = _n_native(long) - _n_native(short)
        floor = sum(n * _floor_of(reason, self.mode, floors) for reason, n in exits.items()) / n_operations
        return Row(
            self.operation.name, self.mode, self.tier,
            round(median(self.samples), 1), round(min(self.samples), 1), round(max(self.samples), 1),
            len(self.samples), round(sum(exits.values()) / n_operations, 2),
            round((long.n_instructions - short.n_instructions) / n_operations, 2), round(floor, 1),
            "native" if n_native * 2 > sum(exits.values()) else "python",
        )  # fmt: skip


def run_operations(
    effort: Effort = LONG_EFFORT,
    tier: str = "native",
    operations: Sequence[KernelOperation] = KERNEL_OPERATIONS,
) -> BenchResult:
    """Measure each operation in both modes. Some seconds.

    Without the lane on this host only `full` is measured. Raises UsageError and BuildError where the guest
    cannot be built.
    """
    modes = MODES if lane_works() else MODES[:1]
    with TemporaryDirectory(prefix="pvisor-bench-") as folder:
        kernel = Path(folder) / "operations.elf"
        build_guest([sdk_dir() / "bench" / "operations.c"], kernel, "full")
        disk = Path(folder) / "disk.img"
        disk.write_bytes(bytes(_DISK_BYTES))
        lanes = [_Lane(operation, mode, tier, kernel, disk) for operation in operations for mode in modes]
        for lane in lanes:
            lane.calibrate(effort.sample_ms)
        rounds = []
        for _ in range(effort.n_rounds):
            for lane in lanes:
                lane.take_sample()
            rounds.append(measure_floors(_FLOOR_EFFORT, _FLOORS))
    floors = {floor.name: min(each[floor.name] for each in rounds) for floor in _FLOORS}
    return BenchResult(host_facts(), tuple(lane.row(floors) for lane in lanes))


def _count(result: RunResult, reason: ExitReason) -> int:
    row = result.exits.get(reason.label)
    return 0 if row is None else row.count


def _n_native(result: RunResult) -> int:
    return sum(row.native for row in result.exits.values())


def _floor_of(reason: ExitReason, mode: str, floors: dict[str, float]) -> float:
    """In the lane every exit is the engine's own call of a hook: nothing traps there."""
    is_trap = mode == "full" and reason.exit_class is ExitClass.TRAP
    return floors["cli" if is_trap else "out"]
