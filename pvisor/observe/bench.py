# SPDX-License-Identifier: GPL-2.0-or-later
"""What an exit costs here: each operation in both tiers, beside its floor and beside the plain binding.

All is measured in one process, round by round: a round takes one sample of everything, so a host that slows
down or speeds up does so for the floor as well, and ratios hold where nanoseconds do not. A row gives the
median of the samples, with the lowest and the highest.

Both an operation's time and its floor's contain the two instructions of the loop around it; the count of
instructions does not.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from pvisor import __version__
from pvisor.cpu.engine_start import start_engine
from pvisor.cpu.floor import floor_ns
from pvisor.cpu.unicorn_binding import INSTRUCTIONS, BindingLoop
from pvisor.observe.bench_guest import LOOP_INSTRUCTIONS, OPERATIONS, BenchGuest, Operation

SCHEMA = "pvisor.bench/1"
TIERS = ("native", "python")
BINDING = "binding"
"""The tier of rows that are not pvisor's: the plain `unicorn` binding doing the same."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure."""

    n_rounds: int
    sample_ms: float


FULL_EFFORT = Effort(n_rounds=9, sample_ms=25)
QUICK_EFFORT = Effort(n_rounds=3, sample_ms=4)
_N_FIRST = 300
"""Operations of the first run, which warms up and shows how many fill a sample."""


@dataclass(frozen=True, slots=True)
class Row:
    """One operation in one tier. `ns_*` and `floor_ns` are host nanoseconds an operation."""

    op: str
    mode: str
    tier: str
    ns_median: float
    ns_low: float
    ns_high: float
    samples: int
    exits_per_op: float
    instructions_per_op: float | None
    """None for the binding, which counts none."""
    floor_ns: float
    served_by: str
    """`native`, `python` or `binding`: an operation without a handler in C is Python's in either tier."""


@dataclass(frozen=True, slots=True)
class BenchResult:
    """A whole benchmark."""

    host: dict[str, str | int]
    rows: tuple[Row, ...]

    def as_json(self) -> dict[str, object]:
        """The document of schema pvisor.bench/1."""
        return {"schema": SCHEMA, "host": self.host, "rows": [asdict(row) for row in self.rows]}

    def row(self, op: str, tier: str) -> Row:
        """One row by operation and tier. Raises LookupError."""
        for row in self.rows:
            if (row.op, row.tier) == (op, tier):
                return row
        raise LookupError(f"no row {op}, {tier}")


def run_bench(effort: Effort = FULL_EFFORT, operations: Sequence[Operation] = OPERATIONS) -> BenchResult:
    """Measure. Some seconds; less than one with QUICK_EFFORT."""
    with ExitStack() as stack:
        benches = [_Bench(operation, effort, stack) for operation in operations]
        for _ in range(effort.n_rounds):
            for bench in benches:
                bench.take_sample()
        return BenchResult(host_facts(), tuple(row for bench in benches for row in bench.rows()))


def measure_floors(
    effort: Effort = QUICK_EFFORT, operations: Sequence[Operation] = OPERATIONS
) -> dict[str, float]:
    """The floors alone, by operation: median nanoseconds. About a tenth of a second."""
    floors = {operation.name: _Subject(_floor_of(operation), effort) for operation in operations}
    for _ in range(effort.n_rounds):
        for floor in floors.values():
            floor.take_sample()
    return {name: median(floor.samples) for name, floor in floors.items()}


def host_facts() -> dict[str, str | int]:
    """What a reader must know to judge the numbers."""
    facts = start_engine()
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "pvisor": __version__,
        "unicorn": facts.unicorn_version,
        "repair": facts.repair,
    }


# --- one operation


@dataclass(slots=True)
class _Subject:
    """Something that can be measured: a function of n operations, giving nanoseconds an operation."""

    measure: Callable[[int], float]
    effort: Effort
    samples: list[float] = field(default_factory=list)
    n_operations: int = 0

    def __post_init__(self) -> None:
        """Warm up, and find how many operations fill a sample."""
        self.measure(_N_FIRST)
        expected_ns = max(self.measure(_N_FIRST), 1.0)
        self.n_operations = max(_N_FIRST, int(self.effort.sample_ms * 1e6 / expected_ns))

    def take_sample(self) -> None:
        """Measure once."""
        self.samples.append(self.measure(self.n_operations))


class _Bench:
    """One operation: its floor, pvisor's tiers, and the binding where that can do it."""

    def __init__(self, operation: Operation, effort: Effort, stack: ExitStack) -> None:
        self._operation = operation
        self._floor = _Subject(_floor_of(operation), effort)
        self._guests: dict[str, tuple[BenchGuest, _Subject]] = {}
        for tier in TIERS:
            guest = BenchGuest(operation, tier)
            stack.callback(guest.close)
            self._guests[tier] = (guest, _Subject(guest.sample, effort))
        self._before = {tier: guest.counts() for tier, (guest, _) in self._guests.items()}
        self._binding: _Subject | None = None
        if operation.instruction in INSTRUCTIONS:
            self._binding = _Subject(BindingLoop(operation.loop).sample, effort)

    def take_sample(self) -> None:
        """One of each."""
        self._floor.take_sample()
        for _, subject in self._guests.values():
            subject.take_sample()
        if self._binding is not None:
            self._binding.take_sample()

    def rows(self) -> list[Row]:
        """What came of it."""
        rows = [self._tier_row(tier) for tier in TIERS]
        if self._binding is not None:
            rows.append(self._row(BINDING, self._binding, BINDING, 1.0, None))
        return rows

    def _tier_row(self, tier: str) -> Row:
        guest, subject = self._guests[tier]
        exits, native, instructions = (
            after - before for after, before in zip(guest.counts(), self._before[tier], strict=True)
        )
        n_samples = len(subject.samples)
        n_operations = subject.n_operations * n_samples
        in_loop = instructions - n_samples * self._operation.frame_instructions
        exits_per_op = (exits - n_samples) / n_operations
        return self._row(
            tier, subject, "native" if native * 2 > exits else "python",
            round(exits_per_op, 4), round(in_loop / n_operations - LOOP_INSTRUCTIONS, 4),
        )  # fmt: skip

    def _row(
        self, tier: str, subject: _Subject, served_by: str, exits: float, instructions: float | None
    ) -> Row:
        return Row(
            self._operation.name, self._operation.mode, tier,
            _rounded(median(subject.samples)), _rounded(min(subject.samples)), _rounded(max(subject.samples)),
            len(subject.samples), exits, instructions, _rounded(median(self._floor.samples)), served_by,
        )  # fmt: skip


def _floor_of(operation: Operation) -> Callable[[int], float]:
    return lambda n_operations: floor_ns(operation.loop, n_operations)


def _rounded(ns: float) -> float:
    return round(ns, 1)


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return platform.processor() or platform.machine()
    models = (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    return next(models, platform.machine())
