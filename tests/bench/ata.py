# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading 16 MiB by ATA PIO: pvisor against stock QEMU (TCG), the same ELF and the same disk.

`python -m tests.bench.ata` prints both. The guest (ata_guest.c) prints `<` before a reading and `>` after it,
so start-up does not count; it reads once by READ MULTIPLE, once by READ SECTORS, and once so with interrupts
enabled in the drive.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from pvisor.machine.console import ConsoleOutput
from pvisor.vmm.config import DiskConfig, DomainConfig
from pvisor.vmm.run import run_domain
from tests.qemu import pc

SOURCE = Path(__file__).with_name("ata_guest.c")
DISK_BYTES = 16 << 20
READINGS = ("READ MULTIPLE", "READ SECTORS", "READ SECTORS, nIEN 0")


@dataclass(slots=True)
class Timed:
    """One run: host seconds of each reading, and what the guest printed."""

    seconds: list[float]
    output: bytes


class Stopwatch:
    """Takes the guest's output and times what lies between `<` and `>`."""

    def __init__(self) -> None:
        self.timed = Timed([], b"")
        self._begun = 0.0

    def write(self, data: bytes) -> None:
        """Bytes of the guest, as they come."""
        now = time.perf_counter()
        for mark in data:
            if mark == ord("<"):
                self._begun = now
            elif mark == ord(">"):
                self.timed.seconds.append(now - self._begun)
        self.timed.output += data


def prepare(folder: Path) -> tuple[Path, Path]:
    """The guest and its disk."""
    image = folder / "disk.img"
    image.write_bytes(random.Random(1).randbytes(DISK_BYTES))
    return pc.build_source(SOURCE, 64, folder), image


def on_pvisor(elf: Path, image: Path, tier: str = "native") -> Timed:
    """Run under pvisor, fully virtualized."""
    watch = Stopwatch()
    disks = (DiskConfig(image, read_only=True),)
    run_domain(DomainConfig(elf, mode="full", tier=tier, disks=disks), ConsoleOutput(watch.write))
    return watch.timed


def on_qemu(elf: Path, image: Path) -> Timed:
    """Run under stock QEMU."""
    watch = Stopwatch()
    command = [*pc.QEMU.split(), "-drive", f"file={image},format=raw,if=ide", "-kernel", str(elf)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as qemu:
        assert qemu.stdout is not None
        while byte := os.read(qemu.stdout.fileno(), 1):
            watch.write(byte)
    return watch.timed


def measure(n_samples: int) -> tuple[list[Timed], list[Timed]]:
    """Runs of both in turn; all have read the same."""
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        elf, image = prepare(Path(folder))
        for _ in range(n_samples):
            ours.append(on_pvisor(elf, image))
            theirs.append(on_qemu(elf, image))
    assert len({timed.output for timed in (*ours, *theirs)}) == 1
    return ours, theirs


def main() -> None:
    """Print what `measure` found."""
    ours, theirs = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    print(f"{'16 MiB by':22}{'pvisor ms':>10}{'QEMU ms':>10}{'rate, pvisor : QEMU':>22}")
    for i, name in enumerate(READINGS):
        mine, its = (median(timed.seconds[i] for timed in runs) * 1e3 for runs in (ours, theirs))
        print(f"{name:22}{mine:10.0f}{its:10.0f}{its / mine:22.2f}")


if __name__ == "__main__":
    main()
