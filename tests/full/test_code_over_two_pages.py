# SPDX-License-Identifier: GPL-2.0-or-later
"""Blocks that begin in one page and end in the next, of which only one is written to."""

from __future__ import annotations

import pytest

from pvisor.cpu.exits import ExitReason
from pvisor.cpu.vcpu import RAX, RBX
from pvisor.domain.outcome import EndedBy
from tests.full.hostile_machine import CODE, NX, PS, STACK, TABLES, HostileMachine, P, W

NEXT, ALIAS, MARK = CODE + 0x1000, 0x40_0000, 0x800
"""The second page, another address of it, and a byte in it that is no code."""
STORE = b"\xc6\x04\x25"
"""mov byte [address], value"""
PUSH_RAX, PUSHF, HLT, NOP = b"\x50", b"\x9c", b"\xf4", b"\x90"
POP_RBX_RET = b"\x5b\xc3"


def store(address: int, value: bytes) -> bytes:
    return STORE + address.to_bytes(4, "little") + value


def call(at: int, to: int) -> bytes:
    return b"\xe8" + (to - at - 5).to_bytes(4, "little", signed=True)


def enter(machine: HostileMachine, rip: int, alias: int = 0) -> None:
    """4 MiB identity-mapped, and behind them one more page that maps NEXT, with the bits `alias`."""
    machine.usual_tables()
    machine.words(TABLES, TABLES + 0x1000 | P | W)
    machine.words(TABLES + 0x1000, TABLES + 0x2000 | P | W)
    machine.words(TABLES + 0x2000, P | W | PS, 2 << 20 | P | W | PS, TABLES + 0x3000 | P | W)
    machine.words(TABLES + 0x3000, NEXT | P | W | alias)
    machine.enter(bits=64, cr3=TABLES, rip=rip)
    machine.vcpu.regs.gpr[4] = STACK


def test_what_is_stored_into_the_second_page_is_looked_at(machine: HostileMachine) -> None:
    """It is written to while it is executed. PUSHF takes the place of a PUSH, of the same length."""
    begin = NEXT - 16
    machine.write(begin, 16 * NOP + PUSH_RAX + POP_RBX_RET)
    code = store(NEXT + MARK, b"\x01")
    for value in (PUSH_RAX, PUSHF):
        code += store(NEXT, value)
        for _ in range(2):
            code += call(NEXT + 0x100 + len(code), begin)
    machine.write(NEXT + 0x100, code + HLT)
    enter(machine, NEXT + 0x100)
    machine.vcpu.regs.gpr[RAX] = 0x1234
    assert machine.run(1000).ended_by is EndedBy.IDLE
    assert machine.vcpu.v.counters[ExitReason.PUSHF].count == 2
    assert machine.vcpu.regs.gpr[RBX] & 0xFFFF_FFFF == 2
    machine.check()


@pytest.mark.parametrize("alias", (0, NX), ids=("X", "NX"))
def test_a_store_into_the_page_into_which_its_block_runs_on(machine: HostileMachine, alias: int) -> None:
    """The second page is fetched before the store runs, and is not writable then."""
    begin = NEXT - 32
    machine.write(begin, store(ALIAS + MARK, b"\x01") + 24 * NOP)
    machine.write(NEXT, HLT)
    enter(machine, begin, alias)
    assert machine.run(200).ended_by is EndedBy.IDLE
    assert machine.memory.read(NEXT + MARK, 1) == b"\x01"
    machine.check()
