# SPDX-License-Identifier: GPL-2.0-or-later
"""What the boot of an operating system costs in each mode: phase by phase, exit by exit, place by place."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pvisor.cpu.exits import ExitClass, ExitReason
from pvisor.errors import UsageError
from pvisor.machine.console import ConsoleInput, ConsoleOutput, NoInput
from pvisor.observe.linux.phases import Phase, PhaseWatch
from pvisor.observe.linux.places import PATCHED, Place
from pvisor.observe.linux.symbols import Symbols
from pvisor.observe.stats import Json
from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.run import run_domain

SCHEMA: Final = "pvisor.boot/1"
BOOT_MODES: Final = ("full", "emu")
DEVICES: Final = (ExitReason.IO_IN, ExitReason.IO_OUT, ExitReason.MMIO, ExitReason.USER_IO)
"""Exits whose handlers are the devices'."""


@dataclass(frozen=True, slots=True)
class BootCost:
    """A boot in one mode."""

    mode: str
    run: RunResult
    phases: tuple[Phase, ...]
    border: str | None
    version: str | None
    places: tuple[Place, ...]
    """The hottest first."""
    n_elsewhere: int

    @property
    def reasons(self) -> list[ExitReason]:
        """Those that occurred."""
        return [reason for reason in ExitReason if any(phase.exits(reason) for phase in self.phases)]

    @property
    def patched(self) -> list[Place]:
        """Where instructions were replaced, the hottest first."""
        return [place for place in self.places if place.reason in PATCHED]

    def as_json(self) -> Json:
        """For `compare --json`."""
        return {
            "mode": self.mode,
            "ended_by": self.run.ending.ended_by.value,
            "status": self.run.ending.status,
            "reason": self.run.ending.reason,
            "kernel": self.version,
            "initcalls_begin_at": self.border,
            "phases": [phase_json(phase) for phase in self.phases],
            "places": [place.as_json() for place in self.places],
        }


@dataclass(frozen=True, slots=True)
class TimeSplit:
    """The host's time of a phase, in nanoseconds. Handlers in C are sampled, one of 64."""

    native: int
    python: int
    devices: int
    """Both kinds, of I/O ports and device memory."""
    guest: int
    """The rest: the guest's own instructions, their translation, and the hypervisor's stops."""


def split_of(phase: Phase) -> TimeSplit:
    """Where the host's time of a phase went."""
    native = python = devices = 0
    for reason in ExitReason:
        in_c, in_python = phase.handler_ns(reason)
        if reason in DEVICES:
            devices += in_c + in_python
        else:
            native, python = native + in_c, python + in_python
    return TimeSplit(native, python, devices, max(0, phase.host_ns - native - python - devices))


def exits_of_class(phase: Phase, exit_class: ExitClass) -> int:
    """All exits of a class."""
    return sum(phase.exits(reason) for reason in ExitReason if reason.exit_class is exit_class)


def phase_json(phase: Phase) -> Json:
    """One phase."""
    split = split_of(phase)
    return {
        "name": phase.name,
        "instructions": phase.n_instructions,
        "virtual_ns": phase.end.virtual_ns - phase.begin.virtual_ns,
        "host_ns": {
            "all": phase.host_ns, "guest": split.guest, "native": split.native, "python": split.python,
            "devices": split.devices,
        },
        "exits": {reason.label: phase.exits(reason) for reason in ExitReason if phase.exits(reason)},
        "space_switches": phase.end.switches[0] - phase.begin.switches[0],
        "spaces_rebuilt": phase.end.switches[1] - phase.begin.switches[1],
        "patched": phase.end.patches[1] - phase.begin.patches[1],
        "patches_now": phase.end.patches[0],
    }  # fmt: skip


def measure_boot(
    config: DomainConfig, *, new_input: Callable[[], ConsoleInput] = NoInput, symbols: Symbols | None = None,
    until: bytes = b"", interrupted: Callable[[], bool] = lambda: False,
) -> BootCost:  # fmt: skip
    """Run one boot to its end, or until the console has shown `until`. Raises UsageError and GuestRefused."""
    watch = PhaseWatch(symbols, until=until)
    console = ConsoleOutput(watch.shown)
    result = run_domain(
        replace(config, time_exits=True), console, new_input(), interrupted=interrupted, watcher=watch
    )
    kernel = watch.found
    return BootCost(
        config.mode, result, tuple(watch.phases), watch.border, kernel.version if kernel else None,
        watch.places, watch.n_elsewhere,
    )  # fmt: skip


def compare_boots(
    config: DomainConfig, modes: Sequence[str], *, new_input: Callable[[], ConsoleInput] = NoInput,
    symbols: Symbols | None = None, until: bytes = b"", interrupted: Callable[[], bool] = lambda: False,
) -> list[BootCost]:  # fmt: skip
    """The same boot in each mode. Each has a copy of the disk: all begin alike, and it stays as it is."""
    costs = []
    for mode in modes:
        with tempfile.TemporaryDirectory(prefix="pvisor-compare-") as folder:
            disks = []
            for i, disk in enumerate(config.disks):
                copy = Path(folder) / f"disk-{i}.img"
                try:
                    shutil.copyfile(disk.path, copy)
                except OSError as error:
                    raise UsageError(f"--disk {disk.path}: cannot be copied ({error.strerror})") from None
                disks.append(replace(disk, path=copy))
            settings = replace(
                config, mode=mode, disks=tuple(disks), remedy=config.remedy if mode == "full" else None
            )
            cost = measure_boot(
                settings, new_input=new_input, symbols=symbols, until=until, interrupted=interrupted
            )
        costs.append(cost)
        if interrupted():
            break
    return costs


def n_different_lines(one: RunResult, other: RunResult) -> int:
    """How many lines one printed and the other did not, the times before a kernel's lines apart."""
    lines = [Counter(re.sub(rb"(?m)^\[ *\d+\.\d+\] ", b"", run.output).splitlines()) for run in (one, other)]
    return max(sum((lines[0] - lines[1]).values()), sum((lines[1] - lines[0]).values()))
