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
from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.run import run_domain


@dataclass(frozen=True, slots=True)
class Figure:
    """Nanoseconds of ours and of the reference; `limit` is the most that ours may be, as a multiple of it."""

    name: str
    ours_ns: float
    reference_ns: float
    reference: str
    limit: float
    served_by: str = ""
    """Who served the exits, where that matters: `native` or `python`."""

    @property
    def ratio(self) -> float:
        """Ours to the reference."""
        return self.ours_ns / self.reference_ns

    def line(self) -> str:
        """One line of a report."""
        verdict = "kept" if self.ratio <= self.limit else "NOT KEPT"
        by = f" [{self.served_by}]" if self.served_by else ""
        return (
            f"{self.name}{by}: {self.ours_ns:.1f} ns, {self.reference}: {self.reference_ns:.1f} ns, "
            f"ratio {self.ratio:.2f}, limit {self.limit:g}: {verdict}"
        )


def n_samples_asked() -> int:
    """The first word of the command line, else 5."""
    return int(sys.argv[1]) if len(sys.argv) > 1 else 5


def report(figures: Iterable[Figure]) -> None:
    """Print figures, a line each."""
    for figure in figures:
        print(figure.line(), flush=True)


def timed_run(config: DomainConfig) -> tuple[float, RunResult]:
    """Run a guest to its end. CPU time of the host in ns, start-up included, and the result."""
    begin = time.thread_time_ns()
    result = run_domain(config)
    spent = time.thread_time_ns() - begin
    assert (result.ending.ended_by, result.ending.status) == (EndedBy.GUEST, 0), result.ending.reason
    return spent, result


SOURCES = Path(__file__).resolve().parent
"""Where the guests of these scripts are."""
