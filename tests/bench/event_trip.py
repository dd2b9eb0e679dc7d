# SPDX-License-Identifier: GPL-2.0-or-later
"""An event to a domain that waits for it, one way of there and back, against a no-op hypercall in Python.

`python -m tests.bench.event_trip`. Row `event_trip` of `pvisor bench`: two domains, each of which sends and
waits with POLL. The limit is for the native tier; in the Python tier each trip is two exits and a turn of the
scheduler, all in Python. The no-op's least sample counts, the trip's median.
"""

from __future__ import annotations

from statistics import median

from pvisor.observe.bench import TIERS, Effort
from pvisor.observe.bench_guest import OPERATIONS, BenchGuest
from pvisor.observe.bench_operations import KERNEL_OPERATIONS, run_operations
from tests.bench.figure import NO_LIMIT, Figure, n_samples_asked, report

LIMITS = {"native": 4, "python": NO_LIMIT}
N_NOOPS = 5_000
NOOPS_EACH = 5


def measure(n_samples: int = 5, sample_ms: float = 30, n_noops: int = N_NOOPS) -> list[Figure]:
    """A trip in each tier."""
    (noop,) = (operation for operation in OPERATIONS if operation.name == "hypercall_noop")
    (trip,) = (operation for operation in KERNEL_OPERATIONS if operation.name == "event_trip")
    guest = BenchGuest(noop, "python")
    noops: list[float] = []
    try:
        rows = []
        for tier in TIERS:
            (row,) = run_operations(
                Effort(n_samples, sample_ms), tier, (trip,),
                each_round=lambda: noops.extend(guest.sample(n_noops) for _ in range(NOOPS_EACH)),
            ).rows  # fmt: skip
            rows.append(row)
    finally:
        guest.close()
    assert median(noops) > 0 and all(row.exits_per_op == 2 for row in rows)
    return [
        Figure(
            f"event, one way, {row.tier} tier", row.ns_median, min(noops), "no-op in the Python tier",
            LIMITS[row.tier], row.served_by,
        )
        for row in rows
    ]  # fmt: skip


if __name__ == "__main__":
    report(measure(n_samples_asked()))
