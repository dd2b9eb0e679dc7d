# SPDX-License-Identifier: GPL-2.0-or-later
"""Interrupts from outside a bare PC kernel, at block boundaries; and the triple fault, which ends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.cpu.shim import ffi
from pvisor.cpu.unicorn_engine import DEVICE_APIC, UnicornVcpu
from pvisor.domain.outcome import EndedBy, Ending
from pvisor.full.cpu import FullWing
from pvisor.machine.console import ConsoleOutput, NoInput
from pvisor.vmm.builder import Machine, build
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.loop import RunLoop
from pvisor.vmm.run import run_domain
from tests.qemu import pc

pytestmark = pytest.mark.needs_gcc


class InterruptRequest:
    """A device in place of the interrupt controllers: a byte written to it is a vector that now waits."""

    widest_bytes = 1

    def __init__(self, wing: FullWing, vcpu: UnicornVcpu) -> None:
        self._vcpu = vcpu
        self._vector = 0
        wing.interrupt_source = self
        vcpu.v.device[DEVICE_APIC] = ffi.NULL

    def acknowledge(self) -> int:
        self._vcpu.v.event_pending = 0
        return self._vector

    def read(self, offset: int, size_bytes: int) -> int:
        return 0

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        self._vector = value
        self._vcpu.v.event_pending = 1


def run(elf: Path, tier: str) -> tuple[Ending, Machine]:
    machine = build(DomainConfig(elf, "full", tier=tier, max_insns=5_000_000), ConsoleOutput(), NoInput())
    try:
        wing = machine.domain.wing
        assert isinstance(wing, FullWing) and machine.ioports is not None
        machine.ioports.attach(0x500, 1, InterruptRequest(wing, machine.vcpu))
        loop = RunLoop(machine.domain, machine.vcpu, on_kick=lambda: None, drain_trace=lambda: None)
        return loop.run(), machine
    finally:
        machine.close()


@pytest.mark.parametrize("tier", ["native", "python"])
@pytest.mark.parametrize("bits", [32, 64])
def test_interrupts(tmp_path: Path, bits: int, tier: str) -> None:
    ending, machine = run(pc.build("events", bits, tmp_path), tier)
    assert machine.domain.console.text == (pc.GUESTS / f"events-{bits}.txt").read_text()
    assert (ending.ended_by, ending.status) == (EndedBy.GUEST, 1), ending.reason


@pytest.mark.parametrize("tier", ["native", "python"])
@pytest.mark.parametrize("bits", [32, 64])
def test_a_triple_fault_names_the_whole_chain(tmp_path: Path, bits: int, tier: str) -> None:
    elf = pc.build("triple_fault", bits, tmp_path)
    result = run_domain(DomainConfig(elf, "full", tier=tier, max_insns=100_000))
    assert result.output == b"no way out\n"
    assert (result.ending.ended_by, result.ending.status) == (EndedBy.CRASH, 134)
    chain = "triple fault: #UD, then #GP(0x33), then #GP(0x6b), then #DF, then #GP(0x43)"
    assert result.ending.reason.startswith(chain)


@pytest.mark.needs_qemu
@pytest.mark.parametrize("bits", [32, 64])
def test_a_triple_fault_ends_qemu_as_well(tmp_path: Path, bits: int) -> None:
    assert pc.run(pc.build("triple_fault", bits, tmp_path)) == (0, b"no way out\n")
