# SPDX-License-Identifier: GPL-2.0-or-later
"""A figure that the project has promised: what was measured, what it is compared with, and the limit.

Whether it is kept is for the reader to see: tests check that the scripts run, never the clock.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pvisor.domain.outcome import EndedBy
from pvisor.observe.bench import Row
from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.run import run_domain

NO_LIMIT = float("inf")
"""Nothing was promised: reported beside what was."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Ours and the reference, in `unit`; `limit` is the most that ours may be, as a multiple of it."""

    name: str
    ours: float
    theirs: float
    reference: str
    limit: float
    served_by: str = ""
    """Who served the exits, where that matters: `native` or `python`."""
    unit: str = "ns"

    @property
    def ratio(self) -> float:
        """Ours to the reference."""
        return self.ours / self.theirs

    def line(self) -> str:
        """One line of a report."""
        verdict = "kept" if self.ratio <= self.limit else "NOT KEPT"
        limit = "no limit" if self.limit == NO_LIMIT else f"limit {self.limit:.3g}: {verdict}"
        by = f" [{self.served_by}]" if self.served_by else ""
        ratio = f"{self.ratio:.2f}" if self.ratio >= 0.1 or not self.ratio else f"{self.ratio:.2g}"
        ours, theirs = self._measured(self.ours), self._measured(self.theirs)
        return f"{self.name}{by}: {ours}, {self.reference}: {theirs}, ratio {ratio}, {limit}"

    def _measured(self, value: float) -> str:
        return f"{value:.1f} ns" if self.unit == "ns" else f"{value:.4g} {self.unit}"


def n_samples_asked() -> int:
    """The first word of the command line, else 5."""
    return int(sys.argv[1]) if len(sys.argv) > 1 else 5


def report(figures: Iterable[Figure]) -> None:
    """Print figures, a line each."""
    for figure in figures:
        print(figure.line(), flush=True)


def row_of(rows: Iterable[Row], op: str, mode: str) -> Row:
    """The row of an operation in a mode. Raises LookupError."""
    for row in rows:
        if (row.op, row.mode) == (op, mode):
            return row
    raise LookupError(f"no row {op} in {mode}")


def timed_run(config: DomainConfig) -> tuple[float, RunResult]:
    """Run a guest to its end. CPU time of the host in ns, start-up included, and the result."""
    begin = time.thread_time_ns()
    result = run_domain(config)
    spent = time.thread_time_ns() - begin
    assert (result.ending.ended_by, result.ending.status) == (EndedBy.GUEST, 0), result.ending.reason
    return spent, result


SOURCES = Path(__file__).resolve().parent
"""Where the guests of these scripts are."""
