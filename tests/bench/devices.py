# SPDX-License-Identifier: GPL-2.0-or-later
"""Polls, timers and interrupts of a PC's devices, against stock QEMU (TCG): the same loop of the same ELF.

`python -m tests.bench.devices`. Start-up is subtracted, as in uart.py. Where a guest waits, only CPU time
counts on either side: in QEMU the waiting itself is free.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from pathlib import Path
from statistics import median

from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import DomainConfig
from tests.bench.figure import NO_LIMIT, SOURCES, Figure, timed_run
from tests.qemu import pc

OPERATIONS = (
    ("read port B", 30_000), ("latch and read counter 0", 10_000), ("RTC: index, register A", 15_000),
    ("CGA status", 30_000), ("i8042 status", 30_000), ("8259: read and write the mask", 15_000),
    ("PM timer", 30_000), ("POST code", 30_000), ("APIC: count, ISR, IRR", 10_000),
    ("self-IPI and EOI", 5_000), ("APIC timer, idle", 1_000), ("APIC initial count", 10_000),
    ("8254 tick, idle", 1_000), ("UART: IER, byte, IIR, IER", 10_000),
)  # fmt: skip
"""By the numbers that devices_guest.c gives them: what it is, and how often at least."""


def build(folder: Path) -> Path:
    """The guest."""
    return build_guest([SOURCES / "devices_guest.c"], folder / "devices.elf", "full").path


def measure(elf: Path, index: int, n_samples: int = 3, mode: str = "full", factor: float = 1) -> Figure:
    """One operation in both, FACTOR times as often as it must be."""
    name, least = OPERATIONS[index]
    n = int(least * factor)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(n_samples):
        for samples, run in ((ours, lambda elf, line: on_pvisor(elf, line, mode)), (theirs, on_qemu)):
            short_ns = run(elf, f"{index} 10")
            samples.append(max(1.0, run(elf, f"{index} {n + 10}") - short_ns) / n)
    return Figure(name, median(ours), median(theirs), "QEMU TCG", NO_LIMIT)


def on_pvisor(elf: Path, cmdline: str, mode: str) -> float:
    """CPU time of a run, in ns."""
    return timed_run(DomainConfig(elf, mode=mode, cmdline=cmdline))[0]


def on_qemu(elf: Path, cmdline: str) -> float:
    """CPU time of a run, in ns, of all threads."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    status, _ = pc.run(elf, more=["-append", cmdline])
    assert status == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e9


def main() -> None:
    """Measure what is asked for by numbers, or everything; FACTOR times as often, in MODE (environment)."""
    print(f"{'':32}{'pvisor ns':>10}{'QEMU ns':>10}{'ratio':>8}")
    asked = [int(word) for word in sys.argv[1:]] or range(len(OPERATIONS))
    with tempfile.TemporaryDirectory() as folder:
        elf = build(Path(folder))
        for index in asked:
            factor, mode = int(os.environ.get("FACTOR", "1")), os.environ.get("MODE", "full")
            figure = measure(elf, index, mode=mode, factor=factor)
            ours, theirs = figure.ours, figure.theirs
            print(f"{figure.name:32}{ours:10.0f}{theirs:10.0f}{figure.ratio:8.2f}", flush=True)


if __name__ == "__main__":
    main()
