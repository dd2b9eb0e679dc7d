# SPDX-License-Identifier: GPL-2.0-or-later
"""Code in the last page of the address space, behind which addresses begin at 0 again."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.domain.outcome import EndedBy
from pvisor.full.state import CR0_PE
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.run import run_domain
from tests.emu.hostile_kernel import HostileKernel
from tests.full.hostile_machine import CODE, PS, STACK, TABLES, P, W

LAST_PAGE = 0xFFFF_FFFF_FFFF_F000
CLI_HLT, RET = b"\xfa\xf4", b"\xc3"


@pytest.mark.parametrize("mode", ("full", "emu"))
def test_code_there_runs_and_may_be_changed(tmp_path: Path, mode: str) -> None:
    """Called at CODE by the last address but one, it is another function the second time."""
    kernel = HostileKernel()
    for name in ("star", "lstar", "fmask", "sysenter_cs", "sysenter_esp", "sysenter_eip"):
        setattr(kernel.state, name, 0)
    kernel.words(TABLES, TABLES + 0x1000 | P | W)
    kernel.words(TABLES + 511 * 8, TABLES + 0x1000 | P | W)
    kernel.words(TABLES + 0x1000, TABLES + 0x2000 | P | W)
    kernel.words(TABLES + 0x1000 + 511 * 8, TABLES + 0x2000 | P | W)
    kernel.words(TABLES + 0x2000, P | W | PS, 2 << 20 | P | W | PS)
    kernel.words(TABLES + 0x2000 + 511 * 8, TABLES + 0x3000 | P | W)
    kernel.words(TABLES + 0x3000 + 511 * 8, CODE | P | W)
    # call there; mov word [CODE], CLI HLT; call there again
    call = b"\x48\xc7\xc0" + (LAST_PAGE & 0xFFFF_FFFF).to_bytes(4, "little") + b"\xff\xd0"
    change = b"\x66\xc7\x04\x25" + CODE.to_bytes(4, "little") + CLI_HLT
    kernel.write(CODE, RET + b"\x90")
    kernel.write(CODE + 0x1000, call + change + call)
    kernel.vcpu.regs.gpr[4] = STACK
    kernel.enter(bits=64, cpl=0, cr3=TABLES, rip=CODE + 0x1000, cr0=CR0_PE, cr4=0)
    elf = tmp_path / "guest.elf"
    elf.write_bytes(kernel.elf())
    result = run_domain(DomainConfig(elf, mode, memory_bytes=8 << 20, max_insns=100_000))
    assert result.ending.ended_by is EndedBy.IDLE, result.ending.reason
