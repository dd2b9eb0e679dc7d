# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that use up what the hypervisor keeps about them: it begins anew, and nothing is seen of that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pvisor.cpu.vcpu import RCX
from pvisor.domain.outcome import EndedBy
from pvisor.vmm.builder import FULL_FRAMES
from tests.full.hostile_machine import CODE, PS, STACK, TABLES, HostileMachine, P, U, W

WINDOW, PAGE = 1 << 30, 4096
N_ALIASES = 1024 * 2 + 65536
"""How many the shim remembers for 4 MiB of RAM (cpu/shim/shadow.c)."""
N_EPOCHS = 8192
TOUCH = b"\x8a\x03\x81\xc3\0\x10\0\0\xff\xc9\x75\xf4\xf4"
"""1: mov al, [rbx]; add ebx, 0x1000; dec ecx; jnz 1b; hlt"""
FORGET = b"\xff\xd3\x0f\x01\x3b\xff\xc9\x75\xf7\xf4"
"""1: call rbx; invlpg [rbx]; dec ecx; jnz 1b; hlt"""


@pytest.fixture(params=(FULL_FRAMES, 64))
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HostileMachine]:
    """64-bit code on identity-mapped RAM, and 1 GiB behind it whose page tables are all the same one."""
    hostile = HostileMachine(tmp_path, n_frames=request.param)
    hostile.usual_tables()
    upper, low, directory, pages = (TABLES + PAGE * (1 + i) for i in range(4))
    hostile.words(TABLES, upper | P | W | U)
    hostile.words(upper, low | P | W | U, directory | P | W | U)
    hostile.words(low, *(i << 21 | P | W | U | PS for i in range(2)))
    hostile.words(directory, *[pages | P | W | U] * 512)
    hostile.words(pages, *[CODE + PAGE | P | W | U] * 512)
    hostile.write(CODE + PAGE, b"\xc3")
    yield hostile
    hostile.close()


def run(machine: HostileMachine, code: bytes, n: int, n_insns: int) -> None:
    machine.write(CODE, code)
    machine.enter(bits=64, cr3=TABLES)
    gpr = machine.vcpu.regs.gpr
    gpr[RCX], gpr[3], gpr[4] = n, WINDOW, STACK
    before = machine.vcpu.n_instructions
    assert machine.run(10_000_000).ended_by is EndedBy.IDLE
    assert machine.vcpu.n_instructions - before == n_insns
    machine.check()
    machine.shadows.check_tables(machine.state)


def test_more_aliases_of_one_frame_than_are_remembered(machine: HostileMachine) -> None:
    n = N_ALIASES + 5000
    run(machine, TOUCH, n, 4 * n + 1)


def test_more_changes_of_code_than_there_are_epochs(machine: HostileMachine) -> None:
    n = 2 * N_EPOCHS + 100
    run(machine, FORGET, n, 5 * n + 1)
