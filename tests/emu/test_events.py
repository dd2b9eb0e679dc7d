# SPDX-License-Identifier: GPL-2.0-or-later
"""Interrupts from outside, waiting, and the exceptions that end a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.cpu.shim import ffi
from pvisor.cpu.unicorn_engine import DEVICE_APIC
from pvisor.domain.outcome import EndedBy
from pvisor.emu.cpu import EmuWing
from pvisor.emu.vcpu import EmulatedVcpu
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.run import run_domain
from tests.emu.machine import build_text, new_machine, run
from tests.full import test_hostile as hostile
from tests.qemu import pc

pytestmark = pytest.mark.needs_gcc
BITS = pytest.mark.parametrize("bits", [32, 64])

# As QEMU delivers them: without EXT, and with an index doubled in long mode.
DIFFERENCES = {
    32: {"error 0x10b": "error 0x10a", "error 0x209": "error 0x208"},
    64: {"error 0x10b": "error 0x212", "error 0x209": "error 0x208"},
}


class InterruptRequest:
    """A device in place of the interrupt controllers: a byte written to it is a vector that now waits."""

    widest_bytes = 1

    def __init__(self, wing: EmuWing, vcpu: EmulatedVcpu) -> None:
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


@BITS
def test_interrupts(tmp_path: Path, bits: int) -> None:
    machine, wing, vcpu = new_machine(pc.build("events", bits, tmp_path))
    wing.ioports.attach(0x500, 1, InterruptRequest(wing, vcpu))
    ending = run(machine)
    text = (pc.GUESTS / f"events-{bits}.txt").read_text()
    for ours, theirs in DIFFERENCES[bits].items():
        text = text.replace(ours, theirs)
    assert machine.domain.console.text == text
    assert (ending.ended_by, ending.status) == (EndedBy.GUEST, 1), ending.reason


@BITS
def test_a_vcpu_that_nothing_can_wake_ends_the_run(tmp_path: Path, bits: int) -> None:
    elf = build_text('int main(void) { __asm__ volatile("cli; hlt"); return 0; }', bits, tmp_path)
    result = run_domain(DomainConfig(elf, "emu", max_insns=100_000))
    assert (result.ending.ended_by, result.ending.status) == (EndedBy.IDLE, 124)
    assert result.exits["hlt"].count == 1


@BITS
def test_a_triple_fault_names_the_chain(tmp_path: Path, bits: int) -> None:
    result = run_domain(DomainConfig(pc.build("triple_fault", bits, tmp_path), "emu", max_insns=100_000))
    assert result.output == b"no way out\n"
    assert (result.ending.ended_by, result.ending.status) == (EndedBy.CRASH, 134)
    nested = {32: "0x32", 64: "0x62"}[bits]
    assert result.ending.reason.startswith(f"triple fault: #UD, then #GP({nested}), then #DF; IDT at 0x")
    assert result.crash is not None and result.crash.registers["RIP"] == result.crash.rip


def test_a_triple_fault_of_pages_says_which(tmp_path: Path) -> None:
    text = 'int main(void) { __asm__ volatile("mov $0x40001000, %rsp; push %rax"); return 0; }'
    result = run_domain(DomainConfig(build_text(text, 64, tmp_path), "emu", max_insns=100_000))
    chain = "triple fault: #PF (write to 0x40000ff8, which is not mapped), then #DF; IDT at 0x"
    assert result.ending.reason.startswith(chain)


def test_exceptions_without_end_are_ended(tmp_path: Path) -> None:
    bits, text = hostile.A_HANDLER_THAT_FAULTS_AT_ONCE
    result = run_domain(DomainConfig(build_text(text, bits, tmp_path), "emu", max_insns=100_000))
    assert result.ending.ended_by is EndedBy.CRASH
    assert "exceptions without end: #UD" in result.ending.reason


def test_a_task_register_that_is_null_ends_nobody_but_the_guest(tmp_path: Path) -> None:
    """QEMU's own code would end the process when it looks for a stack there."""
    bits, text = hostile.VIRTUAL_8086
    null = text.replace('print("go\\n");', '__asm__ volatile("ltr %%ax" : : "a"(0)); print("go\\n");')
    result = run_domain(DomainConfig(build_text(null, bits, tmp_path), "emu", max_insns=100_000))
    assert result.output == b"go\n"
    assert result.ending.reason.startswith("triple fault: #GP, then #DF")


def test_code_of_16_bits(tmp_path: Path) -> None:
    bits, text = hostile.CODE_OF_16_BITS
    assert run_domain(DomainConfig(build_text(text, bits, tmp_path), "emu")).output == b"back\n"


def test_vectors_of_faults_may_come_from_int(tmp_path: Path) -> None:
    """INT 8 is no double fault: a fault while it is delivered is an ordinary one."""
    text = """
int main(void)
{
    set_gate(8, ENTRY(8), FREE, 0x8e, 0);
    TRY("INT 8 into nothing", "int $8", "b"(0));
    set_gate(6, ENTRY(5), CODE, 0x8e, 0);
    TRY("INT 6", "int $6", "b"(0));
    return 0;
}
"""
    output = run_domain(DomainConfig(build_text(text, 32, tmp_path), "emu", max_insns=100_000)).output
    assert output == b"INT 8 into nothing: vector 13, error 0x20, at +0\nINT 6: vector 5, error 0x0, at +2\n"
