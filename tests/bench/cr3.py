# SPDX-License-Identifier: GPL-2.0-or-later
"""CR3 reloaded between two address spaces that the shadow has cached, against a bare CR3 write.

`python -m tests.bench.cr3`. The guest is row `root_switch` of `pvisor bench`. The bare write is that of the
same program in the emulation lane, where the engine executes MOV CR3 itself: what follows a write, for the
engine's TLB is empty then, is in both.
"""

from __future__ import annotations

from pvisor.observe.bench import Effort
from pvisor.observe.bench_operations import KERNEL_OPERATIONS, run_operations
from tests.bench.figure import Figure, n_samples_asked, report

LIMIT = 2.5


def measure(n_samples: int = 5, sample_ms: float = 30) -> Figure:
    """One reload in both."""
    (operation,) = (each for each in KERNEL_OPERATIONS if each.name == "root_switch")
    rows = run_operations(Effort(n_samples, sample_ms), operations=(operation,)).rows
    full, bare = (next(row for row in rows if row.mode == mode) for mode in ("full", "emu"))
    return Figure(
        "CR3 reload, two spaces", full.ns_median, bare.ns_median, "bare CR3 write", LIMIT, full.served_by
    )


if __name__ == "__main__":
    report([measure(n_samples_asked())])
