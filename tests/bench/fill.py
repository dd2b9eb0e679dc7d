# SPDX-License-Identifier: GPL-2.0-or-later
"""A shadow fault that only fills an entry, in both tiers: `python -m tests.bench.fill`.

The guest reads pages in an address space that has no shadow yet. Limits are in time: 6 microseconds
in the Python tier, 0.6 native.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median

from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import DomainConfig
from tests.bench.figure import SOURCES, Figure, n_samples_asked, report, timed_run

LIMITS_NS = {"native": 600, "python": 6000}
MEMORY_BYTES = 64 << 20
SHORT, LONG = 1_000, 41_000


def measure(n_samples: int = 5, long: int = LONG) -> list[Figure]:
    """One fill in each tier, with the read that causes it."""
    with tempfile.TemporaryDirectory() as folder:
        elf = build_guest([SOURCES / "fill_guest.c"], Path(folder) / "fill.elf", "full").path
        return [_in_tier(elf, tier, n_samples, long) for tier in LIMITS_NS]


def _in_tier(elf: Path, tier: str, n_samples: int, long: int) -> Figure:
    samples, by = [], ""
    for _ in range(n_samples):
        (short_ns, _), (long_ns, result) = (
            timed_run(
                DomainConfig(elf, mode="full", tier=tier, memory_bytes=MEMORY_BYTES, cmdline=str(n))
            )
            for n in (SHORT, long)
        )
        fills = result.exits["shadow_fill"]
        assert fills.count >= long
        by = "native" if fills.native * 2 > fills.count else "python"
        samples.append((long_ns - short_ns) / (long - SHORT))
    return Figure(f"shadow fill, {tier} tier", median(samples), LIMITS_NS[tier], "the limit", 1, by)


if __name__ == "__main__":
    report(measure(n_samples_asked()))
