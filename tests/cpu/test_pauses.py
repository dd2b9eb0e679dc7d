# SPDX-License-Identifier: GPL-2.0-or-later
"""PAUSE takes 40 ns more than another instruction, whoever reads the time, and only where it has run."""

from __future__ import annotations

import pytest

from pvisor.cpu.exits import ExitReason as R
from pvisor.cpu.vcpu import CS, RAX
from tests.cpu.conftest import MakeRig
from tests.cpu.rig import CODE32, HLT, NOP, Rig, repeat

PAUSE, RDTSC = b"\xf3\x90", b"\x0f\x31"
KEEP, SUBTRACT = b"\x89\xc3", b"\x29\xd8"  # mov ebx, eax; sub eax, ebx
JMP = b"\xeb\0"  # to what is behind it, which is another block
PAUSE_NS = 40
READ_NOTHING = b"\x8a\x04\x25\0\0\0\0"  # mov al, [0], which is not mapped


def waited_ns(rig: Rig) -> int:
    """Virtual time beyond that of the instructions."""
    return rig.vcpu.virtual_ns - rig.vcpu.n_instructions


@pytest.mark.parametrize(
    ("code", "is_pause"),
    [("f390", True), ("66f390", True), ("f36690", True), ("f3f390", True), ("f34890", True),
     ("f34190", False), ("f34f90", False), ("90", False), ("6690", False), ("f290", False),
     ("b8f390f390", False)],
)  # fmt: skip
def test_what_is_one(rig: MakeRig, code: str, is_pause: bool) -> None:
    """F3 41 90 is XCHG of R8D and EAX (SDM 2B, XCHG); the last is MOV of a number."""
    r = rig(3 * bytes.fromhex(code) + HLT)
    assert r.run() is R.HLT
    assert (waited_ns(r), r.vcpu.n_instructions) == (3 * PAUSE_NS * is_pause, 3)


def test_in_32_bit_code_there_is_no_rex(rig: MakeRig) -> None:
    r = rig(b"\xf3\x90\x41\x90" + HLT)  # pause; inc ecx; nop
    r.vcpu.set_segment(CS, CODE32)
    assert r.run() is R.HLT
    assert (waited_ns(r), r.vcpu.n_instructions) == (PAUSE_NS, 3)


def test_each_round_of_a_loop(rig: MakeRig) -> None:
    r = rig(repeat(1000, PAUSE) + HLT)
    assert r.run() is R.HLT
    assert (waited_ns(r), r.vcpu.n_instructions) == (1000 * PAUSE_NS, 3001)


@pytest.mark.parametrize(
    ("code", "passed"),
    [(KEEP + PAUSE + RDTSC, 3 + PAUSE_NS), (KEEP + NOP + RDTSC, 3),
     (KEEP + RDTSC + SUBTRACT + PAUSE + NOP, 2), (KEEP + JMP + RDTSC + SUBTRACT + PAUSE, 3),
     (KEEP + PAUSE + PAUSE + RDTSC, 4 + 2 * PAUSE_NS)],
)  # fmt: skip
def test_the_tsc_sees_it_behind_and_not_before(rig: MakeRig, code: bytes, passed: int) -> None:
    """Also where RDTSC is in the block that a PAUSE ends."""
    r = rig(2 * (RDTSC + code + (b"" if SUBTRACT in code else SUBTRACT)) + HLT)
    r.v.tsc_runs = 1
    assert r.run() is R.HLT
    assert r.regs.gpr[RAX] == passed


def test_who_does_not_come_to_it_does_not_wait(rig: MakeRig) -> None:
    r = rig(NOP + READ_NOTHING + PAUSE + HLT)
    assert r.run() is R.PAGE_FAULT
    assert (waited_ns(r), r.vcpu.n_instructions) == (0, 1)
    r.regs.rip += len(READ_NOTHING)
    assert r.run() is R.HLT
    assert waited_ns(r) == PAUSE_NS


def test_an_intercept_before_it_has_its_own_time(rig: MakeRig) -> None:
    """IN leaves its block in its midst, and goes on there."""
    r = rig(NOP + b"\xe4\x60" + NOP + PAUSE + HLT)  # nop; in al, 0x60; nop; pause
    times: list[tuple[int, int]] = []
    r.in_hook(lambda: times.append((r.exit.virtual_ns, waited_ns(r))))
    assert r.run() is R.HLT
    assert times == [(1, 0)]
    assert (waited_ns(r), r.vcpu.n_instructions) == (PAUSE_NS, 4)


def test_what_is_due_meanwhile_comes_behind_it(rig: MakeRig) -> None:
    r = rig(repeat(1000, PAUSE) + HLT)
    r.v.deadline_ns = 500
    assert r.run() is R.DEADLINE
    assert 500 <= r.vcpu.virtual_ns < 500 + PAUSE_NS + 3
    assert waited_ns(r) == (r.vcpu.n_instructions + 1) // 3 * PAUSE_NS


def test_changed_code_waits_as_it_is_now(rig: MakeRig) -> None:
    r = rig(PAUSE + HLT)
    assert r.run() is R.HLT
    r.memory.write(0x1000, b"\x66\x90" + HLT)
    r.vcpu.forget_code(0x1000)
    r.regs.rip = 0x1000
    assert r.run() is R.HLT
    assert (waited_ns(r), r.vcpu.n_instructions) == (PAUSE_NS, 2)
