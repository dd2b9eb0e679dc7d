# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes of an operand are no instruction, whatever they look like: addresses of a guest's own code, say."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.machine.elf import ElfImage
from pvisor.toolchain.build import build_guest
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.run import run_domain
from tests.full.paging_storm import LOG, Storm, le
from tests.full.test_status_flags import run

GUESTS = Path(__file__).resolve().parents[1] / "guests" / "sdk"
OPCODES = (0x200F, 0x220F, 0x300F, 0x320F, 0x310F, 0xA20F)
"""MOV of a control register, WRMSR, RDMSR, RDTSC and CPUID, as bytes lie in memory."""
BEFORE = (0x00, 0x0F, 0x40, 0x44, 0x4C, 0x66, 0xF0, 0xF3)
"""What may stand in front of one, prefixes among them."""
OPERANDS = tuple(
    opcode << 8 | before | last << 24 for opcode in OPCODES for before in BEFORE for last in (0, 17)
)
MSRS = (0x10, 0x1B, 0x3B)


@pytest.mark.parametrize("mode", ("full", "emu"))
@pytest.mark.parametrize("msr", MSRS, ids=hex)
def test_immediates(tmp_path: Path, mode: str, msr: int) -> None:
    """mov edx, n; xor ebx, edx; add esi, n: ECX is the number of an MSR that the lane has."""
    storm = Storm(0, n_steps=0)
    storm.code = b"\xb9" + le(msr, 4) + b"\x31\xdb\x31\xf6\x31\xc0"
    mixed = added = 0
    for operand in OPERANDS:
        storm.code += b"\xba" + le(operand, 4) + b"\x8d\x1c\x5b\x31\xd3\x81\xc6" + le(operand, 4)
        mixed = (3 * mixed ^ operand) & 0xFFFF_FFFF
        added = (added + operand) & 0xFFFF_FFFF
    storm.code += b"\x89\x1c\x25" + le(LOG, 4) + b"\x89\x34\x25" + le(LOG + 4, 4)
    storm.code += b"\x89\x0c\x25" + le(LOG + 8, 4) + b"\x89\x04\x25" + le(LOG + 12, 4)
    wanted = le(mixed, 4) + le(added, 4) + le(msr, 4) + le(0, 4)
    assert run(tmp_path, storm, mode, "native")[:16] == wanted


def build_padded(folder: Path, n_pad: int) -> tuple[Path, int]:
    """The SDK's guest `traps` with so many bytes before its code; the address of its stubs."""
    pad, elf = folder / "pad.S", folder / "traps.elf"
    pad.write_text(
        f'.section .text.pad, "axR", @progbits\n.skip {n_pad}\n.section .note.GNU-stack, "", @progbits\n'
    )
    build_guest([pad, GUESTS / "traps.c"], elf, "full")
    return elf, next(f.address for f in ElfImage(elf).functions if f.name == "pv_interrupt_stubs")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> int:
    """Where the stubs are without a pad."""
    return build_padded(tmp_path_factory.mktemp("guest"), 0)[1]


@pytest.mark.needs_gcc
@pytest.mark.parametrize("before_end", (0x10, 0x20, 0xE0, 0xF0, 0x100))
def test_stubs_before_a_pages_end(tmp_path: Path, address: int, before_end: int) -> None:
    """At 0x200ff0 their address, loaded by `mov edx`, looks like MOV CR8."""
    elf, padded = build_padded(tmp_path, 0x20_1000 - before_end - address)
    assert padded == 0x20_1000 - before_end
    result = run_domain(DomainConfig(elf, "emu", max_insns=100_000_000))
    assert (result.ending.status, result.output.decode()) == (0, (GUESTS / "traps.txt").read_text())
