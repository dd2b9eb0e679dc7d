# SPDX-License-Identifier: GPL-2.0-or-later
"""Hypercalls of a hybrid guest's code of every kind: 16 and 32 bits, wherever its code segment begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.cpu.vcpu import CS, RAX, Segment
from pvisor.domain.outcome import EndedBy
from pvisor.machine.console import ConsoleOutput, NoInput
from pvisor.vmm.builder import build
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.loop import RunLoop
from tests.full.kernels import MIB, pvh_elf
from tests.machine.elf_bytes import Part

CODE = b"\x31\xc0" + b"\x0f\x01\xc1" + b"\x90\x31\xc0" + b"\x0f\x01\xc1" + b"\x90\xf4"
"""xor %eax, %eax; vmcall; nop; xor %eax, %eax; vmcall; nop; hlt"""
FLAGS = {16: 0x00_BB00, 32: 0xC0_BB00}
"""Code of CPL 1, where a PC's kernel runs."""


@pytest.mark.parametrize("base", [0, 0x1000, MIB])
@pytest.mark.parametrize("bits", FLAGS)
@pytest.mark.parametrize("tier", ["native", "python"])
def test_what_is_counted_does_not_depend_on_the_base(tmp_path: Path, tier: str, bits: int, base: int) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(pvh_elf(Part(CODE, paddr=MIB, vaddr=MIB)))
    machine = build(DomainConfig(kernel, "hybrid", 4 << 20, tier=tier), ConsoleOutput(), NoInput())
    try:
        vcpu = machine.vcpu
        vcpu.set_segment(CS, Segment(0x11, base, 0xFFFF_FFFF, FLAGS[bits]))
        vcpu.regs.rip = MIB - base
        loop = RunLoop(machine.domain, machine.vcpus, on_kick=lambda: None, drain_trace=lambda: None)
        assert loop.run().ended_by is EndedBy.IDLE
        assert vcpu.regs.gpr[RAX] == 1, "the ABI's version"
        assert vcpu.n_instructions == 6, "all but the HLT, which does not end"
        assert machine.vcpu.v.counters[1].count == 2
    finally:
        machine.close()
