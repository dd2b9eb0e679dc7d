# SPDX-License-Identifier: GPL-2.0-or-later
"""A no-op hypercall, native, against its floor: `python -m tests.bench.hypercall`.

The same bytes with a hook that does nothing. Of many short samples, taken in turn, the least counts: others
on the host only ever add.
"""

from __future__ import annotations

from pvisor.cpu.floor import floor_ns
from pvisor.observe.bench_guest import OPERATIONS, BenchGuest
from tests.bench.figure import Figure, n_samples_asked, report

LIMIT = 1.5
N_OPERATIONS = 20_000
SAMPLES_EACH = 10


def measure(n_samples: int = 5, n_operations: int = N_OPERATIONS) -> Figure:
    """A call, and its floor."""
    (noop,) = (operation for operation in OPERATIONS if operation.name == "hypercall_noop")
    guest = BenchGuest(noop, "native")
    ours, floors = [], []
    try:
        guest.sample(n_operations)
        for _ in range(n_samples * SAMPLES_EACH):
            floors.append(floor_ns(noop.loop, n_operations))
            ours.append(guest.sample(n_operations))
        exits, native, _ = guest.counts()
    finally:
        guest.close()
    by = "native" if native * 2 > exits else "python"
    return Figure("no-op hypercall", min(ours), min(floors), "its floor", LIMIT, by)


if __name__ == "__main__":
    report([measure(n_samples_asked())])
