# SPDX-License-Identifier: GPL-2.0-or-later
"""Repeated string instructions that are emulated: as many instructions as in the engine, and no end to them.

An element is an instruction, so that a guest cannot stop its time by a count of 2**64, and the last look at
the count is one more. The lane, where the engine runs them, is the reference.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pvisor.cpu.exits import ExitReason
from pvisor.cpu.vcpu import RAX, RCX, RDI, RDX, RSI
from pvisor.domain.outcome import EndedBy
from pvisor.machine.console import ConsoleOutput, NoInput
from pvisor.vmm.builder import build
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.loop import RunLoop
from tests.full.hostile_machine import CODE, STACK, HostileMachine
from tests.full.kernels import MIB, PVH_NOTE
from tests.machine.elf_bytes import Elf, Part

LOCAL_APIC, IO_APIC = 0xFEE0_0100, 0xFEC0_0000
BUDGET, ENDLESS = 5000, 0xFFFF_FFFF
EXIT = b"\x90\xb0\x00\xe6\xf4"  # nop; mov $0, %al; out %al, $0xf4
STRINGS = {"stos": b"\xf3\xab", "lods": b"\xf3\xac", "repne scas": b"\xf2\xae", "repe scas": b"\xf3\xae",
           "cmps": b"\xf3\xa6", "movs": b"\xf3\xa4"}  # fmt: skip


def mov(register: int, value: int) -> bytes:
    """MOV to a 32-bit register."""
    return bytes((0xB8 + register,)) + struct.pack("<I", value)


def run(folder: Path, code: bytes, mode: str, tier: str = "native") -> tuple[str, int, list[int], list[int]]:
    """How it ended, instructions, registers, and the virtual times of device accesses."""
    kernel = folder / "kernel"
    kernel.write_bytes(bytes(Elf([Part(bytes(4) + code, vaddr=MIB, flags=7), PVH_NOTE])))
    config = DomainConfig(kernel, mode, tier=tier, memory_bytes=4 * MIB, max_insns=BUDGET)
    machine = build(config, ConsoleOutput(), NoInput())
    try:
        vcpu = machine.vcpu
        vcpu.start_trace()
        loop = RunLoop(machine.domain, vcpu, on_kick=lambda: None, drain_trace=lambda: None)
        ended_by = loop.run().ended_by
        vcpu.complete()
        times = {record.virtual_ns for record in vcpu.trace_records() if record.reason == ExitReason.MMIO}
        return ended_by.value, vcpu.n_instructions, list(vcpu.regs.gpr), sorted(times)
    finally:
        machine.close()


@pytest.mark.parametrize("n", (0, 1, 7, ENDLESS))
@pytest.mark.parametrize("name", STRINGS)
def test_as_many_as_in_the_lane_and_at_the_same_times(tmp_path: Path, name: str, n: int) -> None:
    code = mov(RAX, 0) + mov(RCX, n) + mov(RDI, LOCAL_APIC) + mov(RSI, IO_APIC) + b"\x90"
    code += STRINGS[name] + EXIT
    lane = run(tmp_path, code, "emu")
    assert lane[1] <= BUDGET
    assert run(tmp_path, code, "full") == run(tmp_path, code, "full", "python") == lane


@pytest.mark.parametrize("tier", ("native", "python"))
def test_ins_and_outs_of_user_code_count_alike(tmp_path: Path, tier: str) -> None:
    machine = HostileMachine(tmp_path, tier=tier)
    for string in (b"\xf3\x6c", b"\xf3\x6e"):
        for n, retired in ((0, 2), (1, 3), (300, 302), (ENDLESS, 1000)):
            machine.write(CODE, string + b"\xeb\xfe")
            machine.enter(bits=32, cpl=3)
            machine.state.iopl = 3
            gpr = machine.vcpu.regs.gpr
            gpr[RCX], gpr[RDX], gpr[RSI], gpr[RDI] = n, 0x80, STACK, STACK
            before = machine.vcpu.n_instructions
            assert machine.run(retired).ended_by is EndedBy.BUDGET
            assert machine.vcpu.n_instructions == before + retired
            assert machine.vcpu.regs.rip == CODE + (2 if n < ENDLESS else 0)
            assert gpr[RCX] == (0 if n < ENDLESS else ENDLESS - retired)
    machine.close()
