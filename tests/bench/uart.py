# SPDX-License-Identifier: GPL-2.0-or-later
"""OUT to the UART and IN of its status, native, against stock QEMU (TCG): the same loop of the same ELF.

`python -m tests.bench.uart`. Start-up is subtracted: each figure is the difference of two run lengths. Both
run in turn, and QEMU's time is the CPU time of all its threads, so that waiting for the other core is not
counted against either.
"""

from __future__ import annotations

import resource
import subprocess
import tempfile
from pathlib import Path
from statistics import median

from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import DomainConfig
from tests.bench.figure import SOURCES, Figure, n_samples_asked, report, timed_run
from tests.qemu import pc

LIMIT = 1.2
SHORT, LONG = 1_000, 301_000


def measure(n_samples: int = 5, long: int = LONG) -> Figure:
    """An OUT and an IN in both."""
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        elf = build_guest([SOURCES / "uart_guest.c"], Path(folder) / "uart.elf", "full").path
        for _ in range(n_samples):
            for samples, run in ((ours, on_pvisor), (theirs, on_qemu)):
                short_ns = run(elf, SHORT)
                samples.append((run(elf, long) - short_ns) / (long - SHORT))
    return Figure("UART OUT + IN", median(ours), median(theirs), "QEMU TCG", LIMIT)


def on_pvisor(elf: Path, n: int) -> float:
    """CPU time of a run, in ns."""
    spent, result = timed_run(DomainConfig(elf, mode="full", cmdline=str(n)))
    assert len(result.output) == n
    return spent


def on_qemu(elf: Path, n: int) -> float:
    """CPU time of a run, in ns."""
    before = _children_ns()
    command = [*pc.QEMU.split(), "-kernel", str(elf), "-append", str(n)]
    nowhere = subprocess.DEVNULL
    done = subprocess.run(command, stdin=nowhere, stdout=nowhere, timeout=120, check=False)
    assert done.returncode == 0
    return _children_ns() - before


def _children_ns() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e9


if __name__ == "__main__":
    report([measure(n_samples_asked())])
