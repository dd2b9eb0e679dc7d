# SPDX-License-Identifier: GPL-2.0-or-later
"""RFLAGS.TF and hypercalls: where the next #DB comes does not depend on who has served the call."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pvisor.abi.areas import cpu as rows
from pvisor.abi.areas import itself
from pvisor.vmm.config import TRANSPORTS
from tests.para.kernel import CODE, DATA, Part, R, W, X, machine, mov, run

PAGE = 0xFFFF_8000_0000_1000
FRAME, TRAPS, HANDLER, GO, LOG = DATA, DATA + 0x100, CODE + 0x200, CODE + 0x100, DATA + 0x800
UD2, NOP, CALL_RAX = b"\x0f\x0b", b"\x90", b"\xff\xd0"
TIERS = ("native", "python")


def call(number: int, *args: int) -> bytes:
    registers = (7, 6)  # RDI, RSI
    loads = b"".join(mov(registers[i], arg) for i, arg in enumerate(args))
    return loads + mov(0, PAGE + 32 * number) + CALL_RAX


def steps(folder: Path, transport: str, tier: str, code: bytes) -> list[int]:
    """RIP of each #DB of code that begins at GO with TF set, up to the first UD2."""
    begin = call(rows.TRAP_TABLE.nr, TRAPS, 1) + call(rows.IRET.nr, FRAME)
    handler = b"\x50\x48\x8b\x44\x24\x10\x49\x89\x07\x49\x83\xc7\x08\x58"  # RIP to *R15++
    handler += b"\x48\x83\xc4\x08\x48\xcf"  # add $8, %rsp; iretq
    image = begin.ljust(GO - CODE, NOP) + (b"\x49\xbf" + struct.pack("<Q", LOG) + code + UD2)
    image = image.ljust(HANDLER - CODE, NOP) + handler
    cs, ss = rows.KERNEL_CS.number, rows.KERNEL_SS.number
    frame = struct.pack("<9Q", 0, 0, 0, 0, GO, cs, 0x102, LOG, ss)
    data = frame.ljust(0x100, b"\0") + struct.pack("<QQ", HANDLER, 1)
    parts = [Part(CODE, image, R | X), Part(DATA, data.ljust(4096, b"\0"), R | W)]
    with machine(folder, parts=parts, transport=transport, tier=tier) as made:
        assert "#UD" in run(made).reason
        n_bytes = made.vcpu.regs.gpr[15] - LOG
        return [word for (word,) in struct.iter_unpack("<Q", made.domain.memory.read(LOG, n_bytes))]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("tier", TIERS)
def test_iret_lets_one_instruction_run(tmp_path: Path, transport: str, tier: str) -> None:
    assert steps(tmp_path, transport, tier, NOP + NOP)[:3] == [GO + 10, GO + 11, GO + 12]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_call_is_one_step_in_both_tiers(tmp_path: Path, transport: str) -> None:
    code = mov(0, PAGE + 32 * itself.NOOP.nr) + CALL_RAX + NOP
    native, python = (steps(tmp_path, transport, tier, code) for tier in TIERS)
    assert native == python
    assert native[-1] == GO + 10 + len(code)
