# SPDX-License-Identifier: GPL-2.0-or-later
"""Privileged instructions across two pages, of which the shadow maps the first: a #GP is not first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pvisor.domain.outcome import EndedBy
from tests.full.hostile_machine import CODE, CODE64, IDT, STACK, TABLES, TSS, HostileMachine, P, U, W

SECOND, HANDLER = CODE + 0x1000, CODE + 0x2000
PF, GP, RAX = 14, 13, 0
NO_STACK_SWITCH = bytes(4) + STACK.to_bytes(8, "little")
INSN_FETCH, USER = 0x10, 4
MOV_RAX_CR0, RDMSR = b"\x0f\x20\xc0", b"\x0f\x32"
IN_STEPS = (b"\x66", b"\xf0\x48", b"\x0f", b"\x0f\x01", b"\x0f\x01\x15")
"""Beginnings of instructions that the last page of a program may end with."""


@pytest.fixture(params=("native", "python"))
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HostileMachine]:
    """64-bit code, identity-mapped by pages; each vector has a HLT of its own."""
    hostile = HostileMachine(tmp_path, tier=request.param)
    hostile.usual_tables()
    hostile.write(TSS, NO_STACK_SWITCH)
    for level in range(3):
        hostile.words(TABLES + 0x1000 * level, TABLES + 0x1000 * (level + 1) | P | W | U)
    hostile.words(TABLES + 0x2008, TABLES + 0x4000 | P | W | U)
    hostile.words(TABLES + 0x3000, *(4096 * page | P | W | U for page in range(1024)))
    for vector in range(32):
        gate = HANDLER + vector
        hostile.words(IDT + 16 * vector, gate & 0xFFFF | CODE64 << 16 | 0x8E << 40 | gate >> 16 << 48, 0)
    hostile.write(HANDLER, b"\xf4" * 32)
    yield hostile
    hostile.close()


def run(machine: HostileMachine, code: bytes, at: int, cpl: int) -> int:
    """Run code that is followed by HLTs; the vector of the handler that ended it, or -1."""
    machine.write(at, code + b"\xf4" * 32)
    machine.enter(bits=64, cpl=cpl, cr3=TABLES, rip=at)
    machine.vcpu.regs.gpr[4] = STACK
    assert machine.run(100).ended_by is EndedBy.IDLE
    rip = machine.vcpu.regs.rip - 1
    return rip - HANDLER if HANDLER <= rip < HANDLER + 32 else -1


@pytest.mark.parametrize("n_first", (1, 2))
def test_the_rest_is_fetched_and_the_instruction_emulated(machine: HostileMachine, n_first: int) -> None:
    assert run(machine, MOV_RAX_CR0, SECOND - n_first, 0) == -1
    assert machine.vcpu.regs.gpr[RAX] == machine.state.cr0


def test_user_code_gets_its_own_fault_when_all_is_fetched(machine: HostileMachine) -> None:
    assert run(machine, MOV_RAX_CR0, SECOND - 2, 3) == GP


@pytest.mark.parametrize("cpl", (0, 3))
@pytest.mark.parametrize("first", (MOV_RAX_CR0[:2], RDMSR[:1], *IN_STEPS))
def test_a_page_fault_of_the_rest_comes_first(machine: HostileMachine, first: bytes, cpl: int) -> None:
    machine.words(TABLES + 0x3000 + 8 * (SECOND >> 12), 0)
    assert run(machine, first, SECOND - len(first), cpl) == PF
    assert machine.state.cr2 == SECOND
    frame = machine.memory.read(machine.vcpu.regs.gpr[4], 16)
    assert frame[:8] == (INSN_FETCH | (USER if cpl else 0)).to_bytes(8, "little")
    assert frame[8:] == (SECOND - len(first)).to_bytes(8, "little")


def test_a_whole_instruction_needs_no_second_page(machine: HostileMachine) -> None:
    machine.words(TABLES + 0x3000 + 8 * (SECOND >> 12), 0)
    assert run(machine, RDMSR, SECOND - 2, 3) == GP


@pytest.mark.parametrize("cpl", (0, 3))
def test_code_that_is_nowhere_is_not_fetched_for_ever(machine: HostileMachine, cpl: int) -> None:
    beyond = 0x8000_0000_0000  # not canonical
    assert run(machine, b"\x48\xb8" + beyond.to_bytes(8, "little") + b"\xff\xe0", SECOND, cpl) == GP
