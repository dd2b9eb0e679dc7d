# SPDX-License-Identifier: GPL-2.0-or-later
"""Exceptions keep their vector and error code, however many came before; INT n is never taken for one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pvisor.cpu.engine_start import REPAIRS, start_engine
from pvisor.cpu.exits import ExitReason as R
from pvisor.cpu.vcpu import RAX, RCX
from tests.cpu.conftest import MakeRig
from tests.cpu.rig import (
    ACCESSED_DIRTY,
    AS_CODE,
    AS_CONSTANT,
    AS_DATA,
    CLI,
    CODE,
    DATA,
    HLT,
    MEMORY_BYTES,
    NOP,
    PRESENT,
    STACK,
    USER,
    VMCALL,
    WRITABLE,
    mov,
    repeat,
)

# Instructions on [RAX], each of 3 bytes or fewer.
READ, WRITE, JUMP, PUSH = b"\x48\x8b\x18", b"\x48\x89\x18", b"\xff\xe0", b"\x50"
UNMAPPED, CONSTANT, BEYOND = 0x30_0000, 0x30_1000, 1 << 47


def test_a_thousand_gps_are_all_gps(rig: MakeRig) -> None:
    r = rig(repeat(1000, CLI) + HLT)
    for _ in range(1000):
        r.expect(R.CLI, 6)
        assert (r.exit.vector, r.exit.error_code) == (13, 0)
        r.emulated(1)
    r.expect(R.HLT)
    assert r.v.counters[R.CLI].count == 1000
    assert r.vcpu.n_instructions == 1 + 3 * 1000


def test_faults_after_faults_keep_their_own_vector(rig: MakeRig) -> None:
    """#GP after #GP, #PF after #PF, and each after the other: the pairs that the SDM makes a #DF of."""
    r = rig(READ + CLI + CLI + READ + WRITE + CLI + b"\x0f\x0b" + READ + HLT)
    r.regs.gpr[RAX] = UNMAPPED
    r.map(UNMAPPED, 0, 0)
    offset = 0
    for reason, vector, n_bytes in [
        (R.PAGE_FAULT, 14, 3), (R.CLI, 13, 1), (R.CLI, 13, 1), (R.PAGE_FAULT, 14, 3), (R.PAGE_FAULT, 14, 3),
        (R.CLI, 13, 1), (R.INVALID_OPCODE, 6, 2), (R.PAGE_FAULT, 14, 3), (R.HLT, 13, 1),
    ]:  # fmt: skip
        r.expect(reason, offset)
        assert r.exit.vector == vector
        r.emulated(n_bytes)
        offset += n_bytes


def test_divide_errors_are_exceptions(rig: MakeRig) -> None:
    r = rig((b"\xf7\xf1" + CLI) * 3)  # div ecx
    for i in range(3):
        r.expect(R.EXCEPTION, 3 * i)
        assert (r.exit.vector, r.exit.error_code) == (0, 0)
        r.regs.rip += 2
        r.expect(R.CLI, 3 * i + 2)
        r.regs.rip += 1


@pytest.mark.parametrize(
    ("selector", "error_code"),
    [(0x08, 0x08), (0x10, 0x10), (0x28, 0x28), (0x2B, 0x28), (0x2C, 0x2C), (0x2F, 0x2C), (0xFFF8, 0xFFF8)],
)
def test_a_segment_load_names_its_selector_without_the_rpl(
    rig: MakeRig, selector: int, error_code: int
) -> None:
    r = rig(mov(RAX, selector) + b"\x8e\xd8" + HLT)
    r.expect(R.SEGMENT_LOAD, 10)
    assert (r.exit.vector, r.exit.error_code) == (13, error_code)


@pytest.mark.parametrize(
    ("code", "address", "error_code"),
    [
        (READ, UNMAPPED, 0x00),
        (WRITE, UNMAPPED, 0x02),
        (JUMP, UNMAPPED, 0x10),
        (WRITE, CONSTANT, 0x03),
        (JUMP, CONSTANT, 0x11),
        (JUMP, DATA, 0x11),
        (WRITE, CODE, 0x03),
    ],
    ids=[
        "read absent",
        "write absent",
        "fetch absent",
        "write constant",
        "fetch constant",
        "fetch data",
        "write code",
    ],
)
def test_a_page_fault_says_what_was_tried(rig: MakeRig, code: bytes, address: int, error_code: int) -> None:
    r = rig(NOP + code + HLT)
    r.map(UNMAPPED, 0, 0)
    r.map(CONSTANT, CONSTANT, AS_CONSTANT)
    r.regs.gpr[RAX] = address + 8
    r.expect(R.PAGE_FAULT)
    assert (r.exit.vector, r.exit.error_code, r.exit.cr2) == (14, error_code, address + 8)
    assert r.exit.rip == (address + 8 if code == JUMP else CODE + 1)
    assert r.vcpu.n_instructions == (2 if code == JUMP else 1), "a jump retires; its target faults"


@pytest.mark.parametrize(
    ("code", "error_code"), [(READ, 5), (WRITE, 7), (JUMP, 0x15)], ids=["read", "write", "fetch"]
)
def test_user_code_cannot_touch_the_kernels_pages(rig: MakeRig, code: bytes, error_code: int) -> None:
    r = rig(code + HLT)
    r.map(CODE, CODE, PRESENT | USER | ACCESSED_DIRTY)
    r.map(CONSTANT, CONSTANT, PRESENT | WRITABLE | ACCESSED_DIRTY)
    r.as_user()
    r.regs.gpr[RAX] = CONSTANT
    r.expect(R.PAGE_FAULT)
    assert (r.exit.error_code, r.exit.cr2) == (error_code, CONSTANT)


def test_a_reserved_bit_in_an_entry_shows_in_the_error_code(rig: MakeRig) -> None:
    r = rig(READ + HLT)
    r.map(CONSTANT, CONSTANT | 1 << 51, AS_DATA)
    r.regs.gpr[RAX] = CONSTANT
    r.expect(R.PAGE_FAULT, 0)
    assert r.exit.error_code == 9


@pytest.mark.parametrize("code", [READ, WRITE], ids=["read", "write"])
def test_a_non_canonical_address_is_a_gp(rig: MakeRig, code: bytes) -> None:
    r = rig(code + HLT)
    r.regs.gpr[RAX] = BEYOND
    r.expect(R.GENERAL_PROTECTION, 0)
    assert (r.exit.vector, r.exit.error_code) == (13, 0)


def test_an_instruction_over_a_page_end_faults_at_its_beginning(rig: MakeRig) -> None:
    r = rig()
    at = CODE + 8 * 4096 - 2  # the last code page ends in the middle of a mov rax, imm64
    r.map(CODE + 8 * 4096, 0, 0)
    r.memory.write(at, b"\x48\xb8")
    r.regs.rip = at
    r.expect(R.PAGE_FAULT)
    assert (r.exit.rip, r.exit.cr2, r.exit.error_code) == (at, at + 2, 0x10)
    assert r.exit.n_insn == 2, "as many bytes as are mapped"


@pytest.mark.parametrize("vector", [0x00, 0x06, 0x08, 0x0D, 0x0E, 0x20, 0x80, 0x82, 0xFF])
def test_int_n_is_a_software_interrupt_whatever_its_vector(rig: MakeRig, vector: int) -> None:
    r = rig(NOP + bytes([0xCD, vector]) + CLI + HLT)
    r.expect(R.SOFT_INT, 1)
    assert (r.exit.vector, r.exit.error_code, r.exit.next_rip) == (vector, 0, CODE + 3)
    assert r.vcpu.n_instructions == 1
    r.regs.rip = r.exit.next_rip
    r.expect(R.CLI, 3)


def test_an_invalid_opcode_is_told_from_int_6_whatever_came_before(rig: MakeRig) -> None:
    r = rig((b"\xcd\x06" + b"\x0f\x0b" + b"\xcd\x0d" + VMCALL) * 3 + HLT)
    r.v.raw_vmcall = 1
    for i in range(3):
        r.expect(R.SOFT_INT, 9 * i)
        r.expect(R.INVALID_OPCODE, 9 * i + 2)
        r.regs.rip += 2
        r.expect(R.SOFT_INT, 9 * i + 4)
        r.expect(R.HYPERCALL, 9 * i + 6)
    r.expect(R.HLT, 27)


def test_int3_has_one_byte(rig: MakeRig) -> None:
    r = rig(NOP + b"\xcc" + b"\xcd\x03" + HLT)
    r.expect(R.SOFT_INT, 1)
    assert (r.exit.vector, r.exit.next_rip) == (3, CODE + 2)
    r.expect(R.SOFT_INT, 2)
    assert (r.exit.vector, r.exit.next_rip) == (3, CODE + 4)
    r.expect(R.HLT, 4)


def test_a_software_interrupt_does_not_spoil_the_fault_after_it(rig: MakeRig) -> None:
    r = rig(repeat(20, b"\xcd\x0d" + CLI + b"\xcd\x0e" + READ) + HLT)
    r.map(UNMAPPED, 0, 0)
    r.regs.gpr[RAX] = UNMAPPED
    for _ in range(20):
        r.expect(R.SOFT_INT, 6)
        r.expect(R.CLI, 8)
        r.emulated(1)
        r.expect(R.SOFT_INT, 9)
        r.expect(R.PAGE_FAULT, 11)
        r.emulated(3)
    r.expect(R.HLT)


def test_a_fault_can_be_repeated_until_its_cause_is_gone(rig: MakeRig) -> None:
    r = rig(WRITE + HLT)
    r.map(UNMAPPED, 0, 0)
    r.regs.gpr[RAX], r.regs.gpr[3] = UNMAPPED, 0x1234
    for _ in range(3):
        r.expect(R.PAGE_FAULT, 0)
    r.map(UNMAPPED, UNMAPPED, AS_DATA)
    r.vcpu.flush_tlb()
    r.expect(R.HLT, 3)
    assert r.word(UNMAPPED) == 0x1234
    assert r.vcpu.n_instructions == 1


def test_flush_tlb_makes_a_changed_entry_seen(rig: MakeRig) -> None:
    r = rig(READ + CLI + READ + HLT)
    r.memory.write_u64(DATA, 1)
    r.memory.write_u64(DATA + 4096, 2)
    r.regs.gpr[RAX] = DATA
    r.expect(R.CLI, 3)
    assert r.regs.gpr[3] == 1
    r.map(DATA, DATA + 4096, AS_DATA)
    r.vcpu.flush_tlb()
    r.emulated(1)
    r.expect(R.HLT, 7)
    assert r.regs.gpr[3] == 2


def test_another_root_is_another_address_space(rig: MakeRig) -> None:
    r = rig(READ + CLI + READ + HLT)
    r.memory.write_u64(DATA, 1)
    r.memory.write_u64(DATA + 4096, 2)
    r.regs.gpr[RAX] = DATA
    first = r.root
    r.root = r.frames.allocate()
    r.map(CODE, CODE, AS_CODE)
    r.map(DATA, DATA + 4096, AS_DATA)
    second, r.root = r.root, first
    r.expect(R.CLI, 3)
    assert r.regs.gpr[3] == 1
    r.vcpu.set_root(second)
    r.emulated(1)
    r.expect(R.HLT, 7)
    assert r.regs.gpr[3] == 2
    assert r.vcpu.translate(DATA) == (DATA + 4096, PRESENT | WRITABLE | 1 << 63)


def test_a_string_instruction_faults_in_its_middle_and_goes_on(rig: MakeRig) -> None:
    end = MEMORY_BYTES - 4096
    r = rig(NOP + b"\xf3\xaa" + HLT)  # rep stosb
    r.map(end, 0, 0)
    r.regs.gpr[RCX], r.regs.gpr[7], r.regs.gpr[RAX] = 20, end - 7, 0x55
    r.expect(R.PAGE_FAULT, 1)
    assert (r.exit.error_code, r.exit.cr2, r.regs.gpr[RCX]) == (2, end, 13)
    assert r.vcpu.n_instructions == 1 + 7
    r.map(end, end, AS_DATA)
    r.vcpu.flush_tlb()
    r.expect(R.HLT, 3)
    assert r.memory.read(end - 8, 22) == b"\0" + b"\x55" * 20 + b"\0"
    assert r.regs.gpr[4] == STACK


@pytest.mark.parametrize("repair", REPAIRS.values())
def test_either_way_of_repair_can_be_asked_for(repair: str, repo_root: Path) -> None:
    program = "from pvisor.cpu.unicorn_engine import start_engine; print(start_engine().repair)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=repo_root, env={**os.environ, "PVISOR_REPAIR": repair},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == repair


def test_a_way_of_repair_that_there_is_not_is_refused(repo_root: Path) -> None:
    program = """
from pvisor.cpu.engine_start import start_engine
from pvisor.errors import UsageError
try:
    start_engine()
except UsageError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=repo_root, env={**os.environ, "PVISOR_REPAIR": "magic"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "PVISOR_REPAIR=magic" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif("PVISOR_REPAIR" in os.environ, reason="this is the run that the test below starts")
def test_all_of_these_tests_hold_with_the_other_repair(repo_root: Path) -> None:
    """Every exact value of this folder, so both ways give identical results."""
    other = "context" if start_engine().repair == "state" else "state"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "tests/cpu"],
        cwd=repo_root, env={**os.environ, "PVISOR_REPAIR": other},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
