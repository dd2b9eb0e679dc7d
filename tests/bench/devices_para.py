# SPDX-License-Identifier: GPL-2.0-or-later
"""Disk, console and time of a paravirtual guest, against a PC's: exits, and the disk's throughput.

`python -m tests.bench.devices_para`. Rows `disk_read_4k`, `disk_read_64k`, `console_64k` and `time_read` of
`pvisor bench`: the SDK's own drivers of the block ring and of ATA by PIO, of the console and of the UART.
Exits are virtual facts, the same in every run.
"""

from __future__ import annotations

from pvisor.observe.bench import Effort, Row
from pvisor.observe.bench_operations import KERNEL_OPERATIONS, run_operations
from tests.bench.figure import NO_LIMIT, Figure, n_samples_asked, report, row_of

DISK_LIMIT, CONSOLE_LIMIT, TIME_LIMIT = 1 / 20, 1 / 100, 0
PAGES = {"disk_read_4k": 1, "disk_read_64k": 16}
"""4 KiB pages of an operation."""
ROWS = (*PAGES, "console_64k", "time_read")


def measure(n_samples: int = 5, sample_ms: float = 30) -> list[Figure]:
    """Exits of each, and the disk's throughput."""
    operations = [operation for operation in KERNEL_OPERATIONS if operation.name in ROWS]
    rows = run_operations(Effort(n_samples, sample_ms), operations=operations).rows
    figures = []
    for op, n_pages in PAGES.items():
        ours, theirs = _pair(rows, op)
        n_ours, n_theirs = ours.exits_per_op / n_pages, theirs.exits_per_op / n_pages
        figures.append(Figure(f"4 KiB, {op}", n_ours, n_theirs, "ATA", DISK_LIMIT, unit="exits"))
    for op, n_pages in PAGES.items():
        rate, its_rate = (n_pages * 4096 / max(row.ns_median, 1e-3) * 1e3 for row in _pair(rows, op))
        figures.append(Figure(f"throughput, {op}", rate, its_rate, "ATA", NO_LIMIT, unit="MB/s"))
    for op, name, reference, limit in (
        ("console_64k", "64 KiB of console", "UART", CONSOLE_LIMIT),
        ("time_read", "time", "RDTSC of a PC", TIME_LIMIT),
    ):
        ours, theirs = _pair(rows, op)
        figures.append(Figure(name, ours.exits_per_op, theirs.exits_per_op, reference, limit, unit="exits"))
    return figures


def _pair(rows: tuple[Row, ...], op: str) -> tuple[Row, Row]:
    return row_of(rows, op, "para"), row_of(rows, op, "full")


if __name__ == "__main__":
    report(measure(n_samples_asked()))
