# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lane's tests share: guests of tests/emu/guests, and a machine whose devices a test may add to."""

from __future__ import annotations

from pathlib import Path

from pvisor.domain.outcome import Ending
from pvisor.emu.cpu import EmuWing
from pvisor.emu.vcpu import EmulatedVcpu
from pvisor.machine.console import ConsoleOutput, NoInput
from pvisor.vmm.builder import Machine, build
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.loop import RunLoop
from tests.qemu import pc

GUESTS = Path(__file__).resolve().parent / "guests"
INTEL = "-cpu qemu64,vendor=GenuineIntel"
"""For QEMU: SYSENTER in 64-bit code is Intel's."""


def build_guest(name: str, bits: int, folder: Path) -> Path:
    """A guest of this folder."""
    return pc.build_source(GUESTS / f"{name}.c", bits, folder)


def build_text(text: str, bits: int, folder: Path) -> Path:
    """A guest from its text."""
    source = folder / "guest.c"
    source.write_text(f'#include "pc.h"\n{text}')
    return pc.build_source(source, bits, folder)


def expected(name: str) -> str:
    """What a guest of this folder prints."""
    return (GUESTS / f"{name}.txt").read_text()


def new_machine(elf: Path, **settings: object) -> tuple[Machine, EmuWing, EmulatedVcpu]:
    """A machine in the lane, not yet run. Close it."""
    config = DomainConfig(elf, "emu", max_insns=5_000_000, **settings)  # type: ignore[arg-type]
    machine = build(config, ConsoleOutput(), NoInput())
    assert isinstance(machine.domain.wing, EmuWing) and isinstance(machine.vcpu, EmulatedVcpu)
    return machine, machine.domain.wing, machine.vcpu


def run(machine: Machine) -> Ending:
    """Run it to its end; what it printed is `machine.domain.console.text`."""
    try:
        return RunLoop(machine.domain, machine.vcpu, on_kick=lambda: None, drain_trace=lambda: None).run()
    finally:
        machine.close()
