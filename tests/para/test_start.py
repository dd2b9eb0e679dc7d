# SPDX-License-Identifier: GPL-2.0-or-later
"""The start state, word by word as hypercalls.md has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.abi.layout import sizeof, unpack
from pvisor.cpu.vcpu import CS, DS, ES, FS, GPR_NAMES, GS, RDI, RSP, SS
from pvisor.domain.outcome import EndedBy
from pvisor.errors import GuestRefused, UsageError
from pvisor.para.start import offered_features
from pvisor.vmm.builder import Machine
from tests.para.kernel import (
    CODE,
    CONSTANTS,
    DATA,
    HLT,
    MEMORY_BYTES,
    Part,
    R,
    W,
    X,
    abi_note,
    le,
    machine,
    mov,
    note,
    run,
)

PAGE = 4096
HOLE, HOLE_END = 0xFFFF_8000_0000_0000, 0xFFFF_8800_0000_0000
NX = 1 << 63


def start_info(made: Machine) -> dict[str, int]:
    return unpack("pv_start_info", made.domain.memory.read(made.vcpu.regs.gpr[RDI], sizeof("pv_start_info")))


def rights(made: Machine, gva: int) -> str | None:
    """`rwx` as the tables grant them to the kernel, None where nothing is mapped."""
    found = made.vcpu.translate(gva)
    if found is None:
        return None
    return "r" + ("w" if found[1] & 2 else "-") + ("-" if found[1] & NX else "x")


def test_registers(tmp_path: Path) -> None:
    with machine(tmp_path) as made:
        info = start_info(made)
        gpr = {name: made.vcpu.regs.gpr[i] for i, name in enumerate(GPR_NAMES)}
        assert gpr.pop("RSP") == info["stack_top"]
        assert info["stack_top"] % 16 == 0
        gpr.pop("RDI")
        assert set(gpr.values()) == {0}
        assert made.vcpu.regs.rip == CODE
        assert made.vcpu.rflags == 2
        assert made.vcpu.cpl == 1
        for index in (CS, SS):
            assert made.vcpu.segment(index).selector & 3 == 1
        for index in (DS, ES, FS, GS):
            segment = made.vcpu.segment(index)
            assert (segment.selector, segment.base) == (0, 0)


def test_fpu_is_as_after_fninit(tmp_path: Path) -> None:
    code = b"\x0f\xae\x1c\x25" + le(DATA + 64, 4) + b"\xd9\x34\x25" + le(DATA, 4) + HLT  # stmxcsr; fnstenv
    with machine(tmp_path, code) as made:
        run(made)
        memory = made.domain.memory
        assert int.from_bytes(memory.read(DATA + 64, 4), "little") == 0x1F80, "MXCSR"
        control, status, tags = (int.from_bytes(memory.read(DATA + 4 * i, 2), "little") for i in range(3))
        assert (hex(control), hex(status), hex(tags)) == ("0x37f", "0x0", "0xffff")


def test_start_info(tmp_path: Path) -> None:
    with machine(tmp_path, cmdline="a few words") as made:
        info = start_info(made)
        assert le(info["magic"], 8) == b"pvstart\0"
        assert info["abi_version"] == 1
        assert info["size_bytes"] == sizeof("pv_start_info") == 128
        assert info["features"] == offered_features("syscall")
        assert HOLE <= info["hypercall_page"] < HOLE_END
        assert info["hypercall_page"] % PAGE == 0
        assert info["memory_bytes"] == MEMORY_BYTES
        assert info["kernel_start"] == CODE
        assert info["kernel_end"] == DATA + PAGE
        assert info["stack_top"] - info["stack_bottom"] == 65536
        assert info["stack_bottom"] == info["kernel_end"] + PAGE
        assert info["stack_top"] < info["root_table"] < info["first_free"] < MEMORY_BYTES
        assert info["root_table"] % PAGE == info["first_free"] % PAGE == 0
        assert made.domain.memory.read(info["cmdline"], 12) == b"a few words\0"
        assert info["cmdline_bytes"] == 11
        assert info["domid"] == made.domain.domid


@pytest.mark.parametrize(("transport", "features"), [("syscall", 2), ("int", 2), ("vmcall", 3)])
def test_features_offered(tmp_path: Path, transport: str, features: int) -> None:
    with machine(tmp_path, transport=transport) as made:
        assert start_info(made)["features"] == offered_features(transport)
        assert start_info(made)["features"] & 3 == features


def test_every_page_has_the_rights_of_the_document(tmp_path: Path) -> None:
    with machine(tmp_path) as made:
        info = start_info(made)
        tables = range(made.vcpu.regs.gpr[RDI], info["first_free"], PAGE)
        expected = {0: None, CODE: "r-x", CONSTANTS: "r--", DATA: "rw-", info["stack_bottom"] - PAGE: None}
        expected.update(dict.fromkeys(tables, "r--"))
        for page in range(0, MEMORY_BYTES, PAGE):
            assert rights(made, page) == expected.get(page, "rw-"), hex(page)
            found = made.vcpu.translate(page)
            assert found is None or found[0] == page
        assert rights(made, MEMORY_BYTES) is None
        assert rights(made, info["hypercall_page"]) == "r-x"
        assert rights(made, HOLE) == "r--", "the descriptor table"
        for gva in (HOLE_END, HOLE_END - PAGE, HOLE + (1 << 30), 1 << 47, (1 << 64) - PAGE):
            assert rights(made, gva) is None, hex(gva)


def test_what_no_segment_fills_is_zero(tmp_path: Path) -> None:
    parts = [Part(CODE, HLT, R | X), Part(DATA, b"data", R | W, memory_bytes=3 * PAGE)]
    with machine(tmp_path, parts=parts) as made:
        info = start_info(made)
        memory = made.domain.memory
        assert info["kernel_end"] == DATA + 3 * PAGE
        assert not any(memory.read(DATA + 4, 3 * PAGE - 4))
        assert not any(memory.read(info["stack_bottom"], 65536))
        assert not any(memory.read(info["first_free"], MEMORY_BYTES - info["first_free"]))


def test_a_kernel_linked_high_is_seen_at_both_addresses(tmp_path: Path) -> None:
    high = 0xFFFF_FFFF_8000_0000
    store = b"\x48\xc7\x04\x25" + le(high + 2 * PAGE, 4) + b"\7\0\0\0"  # movq $7, high + 2 pages
    parts = [
        Part(high, store + HLT, R | X, 0x20_0000),
        Part(high + PAGE, b"c", R, 0x20_1000),
        Part(high + 2 * PAGE, b"d", R | W, 0x20_2000),
    ]
    with machine(tmp_path, parts=parts, entry=high) as made:
        for i, right in enumerate(("r-x", "r--", "rw-")):
            assert rights(made, high + i * PAGE) == right
            found = made.vcpu.translate(high + i * PAGE + 5)
            assert found is not None
            assert found[0] == 0x20_0005 + i * PAGE
            assert rights(made, 0x20_0000 + i * PAGE) == right
        assert run(made).ended_by is EndedBy.CRASH
        assert made.vcpu.exit.rip == high + 12
        assert made.domain.memory.read_u64(0x20_2000) == 7
        assert start_info(made)["kernel_start"] == 0x20_0000


def test_the_entry_may_lie_anywhere_in_the_code(tmp_path: Path) -> None:
    with machine(tmp_path, b"\x90" * 100 + HLT, entry=CODE + 50) as made:
        run(made)
        assert made.vcpu.exit.rip == CODE + 100


def test_command_line_length(tmp_path: Path) -> None:
    with machine(tmp_path, cmdline="x" * 4095) as made:
        assert start_info(made)["cmdline_bytes"] == 4095
    with pytest.raises(UsageError, match="4095"), machine(tmp_path, cmdline="x" * 4096):
        pass
    with machine(tmp_path, cmdline="é") as made:
        assert start_info(made)["cmdline_bytes"] == 2


RW_X = [Part(CODE, HLT, R | X), Part(DATA, b"", R | W | X, memory_bytes=PAGE)]
REFUSED: dict[str, tuple[list[Part] | None, bytes, str]] = {
    "newer ABI": (None, abi_note(2), "version 2 of the ABI, this pvisor has 1"),
    "ABI 0": (None, abi_note(0), "version 0"),
    "unknown feature": (None, abi_note(1, 1 << 40), "number 40"),
    "feature not offered": (None, abi_note(1, 1), "RAW_VMCALL"),
    "short note": (None, note(b"\1\0\0\0"), "4 bytes, not 16"),
    "another's note": (None, note(bytes(16), b"other\0"), "pvisor note"),
    "writable code": (RW_X, abi_note(), "writable and executable"),
    "too large": ([Part(CODE, HLT, R | X, memory_bytes=MEMORY_BYTES)], abi_note(), "more --memory"),
    "no stack": ([Part(CODE, HLT, R | X, memory_bytes=MEMORY_BYTES - CODE)], abi_note(), "more --memory"),
    "far away": ([Part(1 << 40, HLT, R | X)], abi_note(), "more --memory"),
    "at page 0": ([Part(0, HLT, R | X)], abi_note(), "page 0"),
    "in the hole": ([Part(HOLE + PAGE, HLT, R | X, 0x20_0000)], abi_note(), "hole"),
    "not canonical": ([Part(1 << 47, HLT, R | X, 0x20_0000)], abi_note(), "canonical"),
    "overlapping": ([Part(CODE, bytes(100), R | X), Part(CODE + 50, bytes(9), R | X)], abi_note(), "overlap"),
    "a page of both": ([Part(CODE, HLT, R | X), Part(CODE + 64, b"d", R | W)], abi_note(), "share the page"),
    "over other RAM": ([Part(CODE, HLT, R | X, 0x20_0000)], abi_note(), "identity map"),
    "another offset": ([Part(HOLE_END + 16, HLT, R | X, 0x20_0000)], abi_note(), "page offset"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_refused(tmp_path: Path, why: str) -> None:
    parts, notes, words = REFUSED[why]
    with pytest.raises(GuestRefused, match=words) as caught, machine(tmp_path, parts=parts, notes=notes):
        pass
    assert caught.value.status == 126
    assert "\n" not in str(caught.value)


def test_a_feature_that_is_offered_may_be_needed(tmp_path: Path) -> None:
    with machine(tmp_path, notes=abi_note(1, 3), transport="vmcall") as made:
        assert start_info(made)["features"] & 3 == 3


def test_a_longer_note_of_a_later_version_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    longer = note(le(1, 4) + bytes(12) + b"something new")
    with machine(tmp_path, notes=longer) as made:
        assert made.domain.wing.name == "para"


def test_the_stack_works_to_its_last_byte_and_no_further(tmp_path: Path) -> None:
    below = b"\x48\x8d\x84\x24" + le(-65536, 4) + b"\xc6\x00\x01"  # lea -65536(%rsp), %rax; movb $1, (%rax)
    with machine(tmp_path, below + b"\x48\xff\xc8\xc6\x00\x01") as made:  # dec %rax; movb $1, (%rax)
        bottom = start_info(made)["stack_bottom"]
        ending = run(made)
        assert f"write to {bottom - 1:#x}, which is not mapped" in ending.reason
        assert made.domain.memory.read(bottom, 1) == b"\1"


def test_write_protection_binds_the_kernel(tmp_path: Path) -> None:
    with machine(tmp_path) as made:
        info, at = start_info(made), made.vcpu.regs.gpr[RDI]
    for target in (CODE, CONSTANTS, at, info["cmdline"], info["root_table"], info["first_free"] - 8,
                   info["hypercall_page"], HOLE):  # fmt: skip
        with machine(tmp_path, mov(0, target) + b"\xc6\x00\xcc" + HLT) as made:
            before = made.domain.memory.read(0, MEMORY_BYTES)
            ending = run(made)
            assert ending.ended_by is EndedBy.CRASH
            assert f"write to {target:#x}, which is mapped read-only" in ending.reason
            assert made.domain.memory.read(0, MEMORY_BYTES) == before


@pytest.mark.parametrize("target", [DATA, CONSTANTS])
def test_no_execute_binds_the_kernel(tmp_path: Path, target: int) -> None:
    with machine(tmp_path, mov(0, target) + b"\xff\xe0") as made:
        assert f"instruction fetch at {target:#x}, which is mapped no-execute" in run(made).reason


@pytest.mark.parametrize("gva", [HOLE + 3 * PAGE, HOLE + (1 << 39), HOLE_END - 8])
def test_what_else_is_in_the_hole_faults_when_read(tmp_path: Path, gva: int) -> None:
    with machine(tmp_path, mov(0, gva) + b"\x8a\x00" + b"\x0f\x0b") as made:
        assert f"read of {gva:#x}" in run(made).reason


def test_the_stack_pointer_is_what_start_info_says(tmp_path: Path) -> None:
    with machine(tmp_path, b"\x54\x58\xf4") as made:  # push %rsp; pop %rax
        run(made)
        assert made.vcpu.regs.gpr[0] == made.vcpu.regs.gpr[RSP] == start_info(made)["stack_top"]
