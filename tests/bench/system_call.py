# SPDX-License-Identifier: GPL-2.0-or-later
"""A system call out of ring 3 and back, full against the control lane: `python -m tests.bench.system_call`.

Row `system_call` of `pvisor bench`.
"""

from __future__ import annotations

from pvisor.observe.bench import Effort
from pvisor.observe.bench_operations import KERNEL_OPERATIONS, run_operations
from tests.bench.figure import Figure, n_samples_asked, report

LIMIT = 3


def measure(n_samples: int = 5, sample_ms: float = 30) -> Figure:
    """One call in both."""
    (operation,) = (each for each in KERNEL_OPERATIONS if each.name == "system_call")
    rows = run_operations(Effort(n_samples, sample_ms), operations=(operation,)).rows
    full, emu = (next(row for row in rows if row.mode == mode) for mode in ("full", "emu"))
    return Figure("system call", full.ns_median, emu.ns_median, "emulation lane", LIMIT, full.served_by)


if __name__ == "__main__":
    report([measure(n_samples_asked())])
