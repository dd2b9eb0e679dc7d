# SPDX-License-Identifier: GPL-2.0-or-later
"""Sieve and hash in a kernel under its own four-level tables, against bare Unicorn with data no-execute.

`python -m tests.bench.paged`. The function is the same (compute_guest.c), built with the same options as far
as they change its code; start-up goes away in the difference of two run lengths. The bare engine has no hook.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median

from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import DomainConfig
from tests.bench import compute
from tests.bench.figure import SOURCES, Figure, n_samples_asked, report, timed_run

LIMIT = 1.6
FLAGS = ("-fno-tree-loop-distribute-patterns", "-fno-tree-vectorize")
SHORT, LONG = 1, 7


def measure(n_samples: int = 5, long: int = LONG) -> Figure:
    """A round in both; checksums agree."""
    bare = compute.OnBare(compute.build_guest())
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        elf = build_guest(
            [SOURCES / "paged_guest.c"], Path(folder) / "paged.elf", "full", extra_flags=FLAGS
        ).path
        for _ in range(n_samples):
            (short_ns, _), (long_ns, checksum) = (_on_pvisor(elf, rounds) for rounds in (SHORT, long))
            ours.append((long_ns - short_ns) / (long - SHORT))
            begin = time.thread_time_ns()
            assert bare.run(long) == checksum
            theirs.append((time.thread_time_ns() - begin) / long)
    return Figure("sieve and hash, own tables", median(ours), median(theirs), "bare Unicorn", LIMIT)


def _on_pvisor(elf: Path, rounds: int) -> tuple[float, int]:
    spent, result = timed_run(DomainConfig(elf, mode="full", cmdline=str(rounds)))
    return spent, int(result.output, 16)


if __name__ == "__main__":
    report([measure(n_samples_asked())])
