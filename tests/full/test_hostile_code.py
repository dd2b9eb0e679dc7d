# SPDX-License-Identifier: GPL-2.0-or-later
"""User code that tries to get past its monitor: by a forbidden mode, or behind what no manual has."""

from __future__ import annotations

import pytest

from pvisor.cpu.exits import ExitReason
from pvisor.domain.outcome import EndedBy
from pvisor.full.state import GP, UD
from tests.full import hostile_machine as h
from tests.full.hostile_machine import CODE, IDT, PS, STACK, TABLES, TSS, HostileMachine, P, U, W

HANDLER, SPIN = CODE + 0x2000, b"\xeb\xfe"
VM, INTERRUPTS_ON, USER_CODE = 1 << 17, 1 << 9, {32: 0x23, 64: 0x33}
OUT = b"\xe6\x80"
AS_THE_ENGINE_READS_IT = (
    bytes.fromhex("0f 50 81"), bytes.fromhex("c5 f8 50 81"), bytes.fromhex("0f 71 05 11"),
    bytes.fromhex("0f 72 a1 11"), bytes.fromhex("64 0f 73 41 11"), bytes.fromhex("f0 0f 71 62 cb"),
)  # fmt: skip
"""Forms with a memory operand that the manual does not have: the engine runs them without a displacement."""


def enter_user(machine: HostileMachine, bits: int, code: bytes) -> None:
    """Identity-mapped user code; each vector leads to a HLT of its own; no I/O port is allowed."""
    machine.usual_tables()
    if bits == 64:
        machine.words(TABLES, TABLES + 0x1000 | P | W | U)
        machine.words(TABLES + 0x1000, TABLES + 0x2000 | P | W | U)
        machine.words(TABLES + 0x2000, *(page << 21 | P | W | U | PS for page in range(2)))
        machine.write(TSS, bytes(4) + STACK.to_bytes(8, "little"))
    else:
        machine.write(TABLES, (P | W | U | PS).to_bytes(4, "little"))
        machine.write(TSS, bytes(4) + STACK.to_bytes(4, "little") + b"\x18")
    for vector in range(32):
        gate = HANDLER + vector
        kind = (h.CODE64 if bits == 64 else h.CODE32) << 16 | 0x8E << 40
        machine.words(IDT + bits // 4 * vector, gate & 0xFFFF | kind | gate >> 16 << 48)
    machine.write(TSS + 0x66, b"\x68")  # the I/O map begins behind the limit
    machine.write(HANDLER, b"\xf4" * 32)
    machine.write(CODE, code)
    machine.enter(bits=bits, cpl=3, cr3=TABLES, cr4=0x610)
    machine.vcpu.regs.gpr[1] = machine.vcpu.regs.gpr[2] = STACK
    machine.vcpu.regs.gpr[4] = STACK


@pytest.mark.parametrize("bits", (32, 64))
def test_iret_of_user_code_does_not_enter_virtual_8086_mode(machine: HostileMachine, bits: int) -> None:
    """VM is among the flags that only ring 0 loads (SDM 2A, IRET): as if it were not there."""
    enter_user(machine, bits, b"\xcf".ljust(16, b"\x90") + SPIN)
    frame = (CODE + 8, USER_CODE[bits], VM | INTERRUPTS_ON | 0x46, STACK, h.USER_DATA, 0, 0, 0, 0)
    machine.write(STACK, b"".join(word.to_bytes(4, "little") for word in frame))
    ending = machine.run(50)
    assert ending.ended_by is EndedBy.BUDGET, ending.reason
    assert (machine.vcpu.regs.rip, machine.vcpu.cpl) == (CODE + 16, 3)
    assert machine.vcpu.rflags & (VM | 0x44) == 0x44


@pytest.mark.parametrize("bits", (32, 64))
@pytest.mark.parametrize("covering", AS_THE_ENGINE_READS_IT, ids=bytes.hex)
def test_no_output_hides_behind_them(machine: HostileMachine, covering: bytes, bits: int) -> None:
    enter_user(machine, bits, covering + 8 * OUT + SPIN)
    machine.run(50)
    assert machine.vcpu.regs.rip - 1 - HANDLER in (GP, UD)
    assert machine.vcpu.v.counters[ExitReason.IO_OUT].count == 0


def test_a_patch_that_a_mixed_page_loses_is_forgotten(machine: HostileMachine) -> None:
    """Code that stores into its own frame may do so without a fault: also over a patch."""
    store = b"\xc6\x04\x25"  # mov byte [address], value
    pushf = CODE + 8
    code = store + (CODE + 0x800).to_bytes(4, "little") + b"\x01" + b"\x9c\x58"  # and pushf; pop
    code += store + pushf.to_bytes(4, "little") + b"\x90" + b"\xf4"
    enter_user(machine, 64, code)
    machine.enter(bits=64, cr3=TABLES)
    machine.vcpu.regs.gpr[4] = STACK
    assert machine.run(50).ended_by is EndedBy.IDLE
    assert machine.memory.read(pushf, 1) == b"\x90"
    machine.wing.paging.drop_all()
    assert machine.vcpu.patches[0] == 0
    machine.check()
