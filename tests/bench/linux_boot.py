# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernel to its /init, and the load program, beside QEMU's TCG.

`python -m tests.bench.linux_boot [N]`. The same ELF kernel, unpacked from Debian's package, is entered by PVH
everywhere, so that no firmware and no unpacking is measured. Times are wall-clock times of whole processes,
start-up included, the least of N runs taken by turns; pvisor counts instructions in all of them. Resident
memory is looked at when /init runs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pvisor.full.kernel_file import read_image
from pvisor.full.linux_boot import LinuxImage
from pvisor.full.linux_payload import unpack
from tests.bench.figure import Figure, n_samples_asked, report
from tests.cli.support import command, environment

sys.path.append(str(Path(__file__).resolve().parents[2] / "demos" / "linux"))
import fetch
import initramfs

MEMORY_MIB = 256
QEMU = "qemu-system-x86_64 -accel tcg -display none -serial stdio -monitor none -nodefaults -no-reboot"
INIT, LOAD, END = "Run /init", "bench: start", "bench: end"
MEMORY_LIMIT_MIB = 200


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds from the start to each marker on the console, and MiB at the first of them."""

    at_s: tuple[float, ...]
    resident_mib: float
    guest_mib: float


def _pvisor(kernel: Path, initrd: Path, mode: str, cmdline: str) -> list[str]:
    return [str(word) for word in command(
        "run", kernel, "--initrd", initrd, "--cmdline", cmdline, "--memory", f"{MEMORY_MIB}M", "--mode", mode,
    )]  # fmt: skip


def _qemu(kernel: Path, initrd: Path, cmdline: str) -> list[str]:
    return [*QEMU.split(), "-m", str(MEMORY_MIB), "-kernel", str(kernel), "-initrd", str(initrd),
            "-append", cmdline]  # fmt: skip


def _resident_mib(pid: int) -> tuple[float, float]:
    """All that is resident of a process, and the part of it that is the guest's RAM (proc_pid_smaps(5))."""
    total = guest = 0
    in_guest = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        found = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
        if found is not None:
            in_guest = int(found[2], 16) - int(found[1], 16) == MEMORY_MIB << 20
        elif line.startswith("Rss:"):
            kib = int(line.split()[1])
            total += kib
            guest += kib if in_guest else 0
    return total / 1024, guest / 1024


def run(words: Sequence[str], markers: Sequence[str]) -> Sample:
    """Run to the last marker, and end it. Raises LookupError where one does not come."""
    begin, seen, memory = time.perf_counter(), b"", (0.0, 0.0)
    at_s: list[float] = []
    # As an installed pvisor runs: its modules are compiled once, not at each start.
    environ = {name: value for name, value in environment().items() if name != "PYTHONDONTWRITEBYTECODE"}
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ
    ) as process:
        assert process.stdout is not None
        while len(at_s) < len(markers) and (part := os.read(process.stdout.fileno(), 1 << 16)):
            seen += part
            while len(at_s) < len(markers) and markers[len(at_s)].encode() in seen:
                at_s.append(time.perf_counter() - begin)
                memory = memory if len(at_s) > 1 else _resident_mib(process.pid)
        process.kill()
    if len(at_s) < len(markers):
        raise LookupError(f"no {markers[len(at_s)]!r} on the console of {words[0]}")
    return Sample(tuple(at_s), *memory)


def measure(n_samples: int) -> list[Figure]:
    """All of it. Raises UnavailableError where Debian's packages, OSError where QEMU cannot be had."""
    from tests.linux.load_program import build

    package = fetch.kernel()
    with tempfile.TemporaryDirectory(prefix="pvisor-bench-") as name:
        folder = Path(name)
        image = read_image(package.vmlinuz)
        assert isinstance(image, LinuxImage)
        kernel, initrd = folder / "vmlinux", folder / "initrd.gz"
        kernel.write_bytes(unpack(image))
        script = folder / "bench.sh"
        script.write_text("#!/bin/sh\nexec /load bench\n")
        script.chmod(0o755)
        added = {"load": build(folder)["load"], "bench.sh": script}
        busybox = fetch.package_folder(fetch.BUSYBOX) / "bin" / "busybox"
        initrd.write_bytes(initramfs.build(package, busybox, added=added))
        boots = {
            "qemu": (_qemu(kernel, initrd, "console=ttyS0"), (INIT,)),
            "full": (_pvisor(kernel, initrd, "full", "console=ttyS0 run=/bench.sh"), (INIT, LOAD, END)),
            "emu": (_pvisor(kernel, initrd, "emu", "console=ttyS0 run=/bench.sh"), (INIT, LOAD, END)),
        }
        samples: dict[str, list[Sample]] = {mode: [] for mode in boots}
        for _ in range(n_samples):
            for mode, (words, markers) in boots.items():
                samples[mode].append(run(words, markers))
    return list(_figures(samples))


def _figures(samples: dict[str, list[Sample]]) -> list[Figure]:
    init = {mode: min(s.at_s[0] for s in taken) for mode, taken in samples.items()}
    load = {mode: min(s.at_s[2] - s.at_s[1] for s in samples[mode]) for mode in ("full", "emu")}
    beyond = {mode: max(s.resident_mib - s.guest_mib for s in samples[mode]) for mode in ("full", "emu")}
    return [
        Figure("Debian to /init, full", init["full"], init["qemu"], "QEMU TCG", 1.5, unit="s"),
        Figure("Debian to /init, emu", init["emu"], init["qemu"], "QEMU TCG", 2.0, unit="s"),
        Figure("load program, full", load["full"], load["emu"], "emu", 1.3, unit="s"),
        *(
            Figure(
                f"resident beyond the guest's RAM, {mode}", mib, MEMORY_LIMIT_MIB, "limit", 1.0, unit="MiB"
            )
            for mode, mib in beyond.items()
        ),
    ]


if __name__ == "__main__":
    report(measure(n_samples_asked()))
