# SPDX-License-Identifier: GPL-2.0-or-later
"""One truth about sensitive instructions: what C replaces is what the table names, opcode by opcode."""

from __future__ import annotations

import itertools

import pytest

from pvisor.cpu.decode import MAX_INSN_BYTES, decode
from pvisor.cpu.sensitive import SENSITIVE, Group, find_sensitive, is_sensitive

PREFIXES = {
    32: (b"", b"\x66", b"\x67", b"\xf2", b"\xf3", b"\x2e\x66"),
    64: (b"", b"\x66", b"\xf3", b"\x48", b"\x66\x4d", b"\x67\x41"),
}
OPCODES = [*(bytes((op,)) for op in range(256)), *(bytes((0x0F, op)) for op in range(256))]
MODRM = (0x00, 0x6C, 0xC1, 0xF9)
GROUPS = (b"\x0f\x00", b"\x0f\x01", b"\xff")
"""Opcodes whose ModRM says which instruction it is."""

EXAMPLES = {
    "PUSHF": "9c", "POPF": "9d", "SGDT": "0f0100", "SIDT": "0f0108", "SLDT": "0f00c0", "STR": "0f0008",
    "SMSW": "0f01e0", "LAR": "0f02c1", "LSL": "0f03c1", "VERR": "0f00e0", "VERW": "0f00e8", "IN": "ec",
    "OUT": "e680", "INS": "6c", "OUTS": "f36f", "RDTSC": "0f31", "RDTSCP": "0f01f9",
}  # fmt: skip


@pytest.mark.parametrize("bits", [32, 64])
def test_the_table_and_the_engine_agree_about_every_opcode(bits: int) -> None:
    found = set()
    opcodes = [opcode + bytes((modrm,)) for opcode, modrm in itertools.product(OPCODES, MODRM)]
    opcodes += [opcode + bytes((modrm,)) for opcode, modrm in itertools.product(GROUPS, range(256))]
    for prefixes, opcode in itertools.product(PREFIXES[bits], opcodes):
        code = prefixes + opcode + bytes(8)
        insn = decode(code, bits)
        if insn is None:
            continue
        whole = code[: insn.n_bytes]
        row = find_sensitive(insn.mnemonic)
        assert is_sensitive(whole, bits, in_user_code=True) is (row is not None), (whole.hex(), insn.text)
        in_kernel = row is not None and not row.in_user_code_only
        assert is_sensitive(whole, bits, in_user_code=False) is in_kernel, (whole.hex(), insn.text)
        found.add(row)
    assert found - {None} == set(SENSITIVE)


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_each_row_by_an_example(bits: int) -> None:
    assert set(EXAMPLES) == {row.name for row in SENSITIVE}
    for row in SENSITIVE:
        code = bytes.fromhex(EXAMPLES[row.name])
        insn = decode(code, bits)
        assert insn is not None and find_sensitive(insn.mnemonic) is row
        assert is_sensitive(code, bits, in_user_code=True)
        assert is_sensitive(code, bits, in_user_code=False) is not row.in_user_code_only


def test_rows_say_what_they_should() -> None:
    for row in SENSITIVE:
        assert row.at_ring_1 and row.source.startswith("SDM ") and row.name.lower() in row.source.lower()
        assert row.in_user_code_only is (row.group in (Group.IO, Group.TIME))
        assert ("Robin and Irvine" in row.source) is not row.in_user_code_only
    names = [name for row in SENSITIVE for name in row.mnemonics]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("", "nothing"),
        ("66", "a prefix alone"),
        ("48", "REX alone"),
        ("0f01c0", "VMCALL's neighbours: SGDT has no register form"),
        ("0f01c8", "MONITOR: SIDT has no register form"),
        ("0f01d0", "XGETBV"),
        ("0f01f8", "SWAPGS, which traps by itself"),
        ("0f00d8", "LTR, which traps by itself"),
        ("8cd8", "MOV from DS: the selector is the guest's own"),
        ("0fa0", "PUSH FS, likewise"),
        ("cd80", "INT n traps"),
        ("90" * MAX_INSN_BYTES, "as long as can be"),
        ("90" * (MAX_INSN_BYTES + 1), "too long for an instruction"),
        ("66" * MAX_INSN_BYTES + "9c", "too long, although it ends as PUSHF"),
    ],
)
def test_what_is_none(code: str, why: str) -> None:
    for bits in (16, 32, 64):
        assert not is_sensitive(bytes.fromhex(code), bits, in_user_code=True), why


def test_rex_is_an_instruction_outside_64_bit_code() -> None:
    assert is_sensitive(b"\x48\x9c", 64, in_user_code=False)
    assert not is_sensitive(b"\x48\x9c", 32, in_user_code=False)


@pytest.mark.parametrize("mnemonic", ["rep insb", "repne outsd", "lock pushf"])
def test_prefixes_are_no_part_of_the_name(mnemonic: str) -> None:
    assert find_sensitive(mnemonic) is not None


@pytest.mark.parametrize("mnemonic", ["", "mov", "push", "lgdt", "pushfx", "rep movsb"])
def test_other_names(mnemonic: str) -> None:
    assert find_sensitive(mnemonic) is None
