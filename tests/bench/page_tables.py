# SPDX-License-Identifier: GPL-2.0-or-later
"""A batch of 512 page-table entries: against single calls, and against the same changes under shadow paging.

`python -m tests.bench.page_tables`. Rows `entry_set_512`, `entry_batch_512`, `remap_512` and
`remap_later_512` of `pvisor bench`.

Under shadow paging a change costs most when its page is next used, so the pages must be used. That first use
costs the CPU a refill of its TLB as well, in any mode and on any machine. What the bare engine takes is what
the emulation lane takes, where the engine walks the guest's own tables and no hypervisor looks at them.

- An entry of a batch, changed by a kernel without the SDK: filling in the list, the call, the flush.
- The change under shadow paging, by the same kernel: a store, the flush, and the fill at the next use. What
  that use costs the lane (its time with the pages used less that without) is taken off: it is no part of the
  change.
- The same, page used: nothing taken off on either side, refills, reads and all.
- Unmapped and mapped by the SDK (`PV_MAP_LATER`), page used: the SDK's own code as well, in both wings. That
  is most of what the bare engine takes for it, so the figure with a limit is what a wing takes *more* than
  the lane with the same program: one for the SDK's queue and the call, the other for fills and faults.
"""

from __future__ import annotations

from collections.abc import Callable

from pvisor.observe.bench import TIERS, Effort, Row
from pvisor.observe.bench_operations import KERNEL_OPERATIONS, run_operations
from tests.bench.figure import NO_LIMIT, Figure, n_samples_asked, report, row_of

SINGLE_LIMIT, SHADOW_LIMIT = 1 / 5, 1 / 3
N_ENTRIES = 512
ROWS = ("entry_set_512", "entry_batch_512", "remap_512", "remap_later_512")


def measure(n_samples: int = 5, sample_ms: float = 30) -> list[Figure]:
    """All of them in both tiers, by entry."""
    operations = [operation for operation in KERNEL_OPERATIONS if operation.name in ROWS]
    figures = []
    for tier in TIERS:
        rows = run_operations(Effort(n_samples, sample_ms), tier, operations).rows
        figures += _figures(rows, tier)
    return figures


def _figures(rows: tuple[Row, ...], tier: str) -> list[Figure]:
    def entry_ns(op: str, mode: str) -> float:
        return row_of(rows, op, mode).ns_median / N_ENTRIES

    batch = entry_ns("entry_batch_512", "para")
    whole, shadowed = entry_ns("remap_512", "para"), entry_ns("remap_512", "full")
    refill = entry_ns("remap_512", "emu") - entry_ns("entry_batch_512", "emu")
    by = row_of(rows, "entry_batch_512", "para").served_by
    name = f"entry of a batch, {tier} tier"
    single, changes = entry_ns("entry_set_512", "para"), max(shadowed - refill, 1e-3)
    return [
        Figure(name, batch, single, "ENTRY_SET and flush", SINGLE_LIMIT, by),
        Figure(name, batch, changes, "shadow paging less the TLB's refill", SHADOW_LIMIT, by),
        Figure(f"the same, page used, {tier} tier", whole, shadowed, "shadow paging", NO_LIMIT, by),
        *_of_sdk(entry_ns, tier, by),
    ]


def _of_sdk(entry_ns: Callable[[str, str], float], tier: str, by: str) -> list[Figure]:
    """An entry that the SDK changes later, twice: away, and to another page."""
    whole, shadowed, bare = (entry_ns("remap_later_512", mode) for mode in ("para", "full", "emu"))
    more, shadowed_more = max(whole - bare, 1e-3), max(shadowed - bare, 1e-3)
    name = f"entry changed later by the SDK, page used, {tier} tier"
    reference = "shadow paging likewise"
    return [
        Figure(name, whole, shadowed, "shadow paging", NO_LIMIT, by),
        Figure(f"{name}, beyond the bare engine", more, shadowed_more, reference, SHADOW_LIMIT, by),
    ]


if __name__ == "__main__":
    report(measure(n_samples_asked()))
