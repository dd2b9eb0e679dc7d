# SPDX-License-Identifier: GPL-2.0-or-later
"""The x86 decoder door: what instruction is this, and where are its operands?

Only this file knows capstone's Python side. Decoding does not depend on the address, so results are kept by
the instruction's bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import capstone
from capstone import x86

MAX_INSN_BYTES = 15
WINDOW_BYTES = 1 << 16
"""So much code is handed to capstone at once: it makes all of it a list."""
LEGACY_PREFIXES = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3")
"""Prefixes that may stand before the opcode, and before REX, in any order (SDM 2A 2.1.1)."""


@dataclass(frozen=True, slots=True)
class Memory:
    """A memory operand: segment:[base + index * scale + displacement]; names are capstone's, "" for none."""

    segment: str
    base: str
    index: str
    scale: int
    displacement: int


@dataclass(frozen=True, slots=True)
class Operand:
    """An operand: exactly one of register, memory and immediate is given."""

    size_bytes: int
    register: str = ""
    memory: Memory | None = None
    immediate: int | None = None
    access: int = 0
    """Of a memory operand: 1 if it is read, 2 if it is written, 3 for both."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """A decoded instruction. `repeat` is its last prefix 0xf3 or 0xf2, or 0: REP, in string instructions."""

    mnemonic: str
    n_bytes: int
    operands: tuple[Operand, ...]
    opcode: bytes
    rex_w: bool
    has_operand_size_prefix: bool
    """One that counts: REX.W overrules it (SDM 2A 2.2.1.2)."""
    prefixes: bytes
    opcode_extension: int
    """The reg field of ModRM."""
    address_bytes: int
    text: str
    repeat: int = 0

    @property
    def name(self) -> str:
        """The mnemonic without its prefixes."""
        return self.mnemonic.rpartition(" ")[2]


def _decoder(mode: int) -> capstone.Cs:
    decoder = capstone.Cs(capstone.CS_ARCH_X86, mode)
    decoder.detail = True
    return decoder


_MODES = {16: capstone.CS_MODE_16, 32: capstone.CS_MODE_32, 64: capstone.CS_MODE_64}
_DECODERS = {bits: _decoder(mode) for bits, mode in _MODES.items()}


@lru_cache(maxsize=4096)
def decode(code: bytes, bits: int) -> Instruction | None:
    """The instruction at the beginning of `code`, or None when there is none."""
    insn = next(_DECODERS[bits].disasm(code[:MAX_INSN_BYTES], 0), None)
    if insn is None:
        return None
    name = insn.reg_name
    has_size_prefix = insn.prefix[2] == 0x66
    is_wide = has_size_prefix and insn.rex & 8 and insn.id in (x86.X86_INS_PUSH, x86.X86_INS_POP)
    operands = []
    for op in insn.operands:
        size_bytes = 8 if is_wide else op.size  # capstone lets the prefix win there
        if op.type == x86.X86_OP_REG:
            operands.append(Operand(op.size, register=name(op.reg)))
        elif op.type == x86.X86_OP_IMM:
            operands.append(Operand(size_bytes, immediate=op.imm))
        else:
            mem = op.mem
            segment, base, index = (name(register) or "" for register in (mem.segment, mem.base, mem.index))
            memory = Memory(segment, base, index, mem.scale, mem.disp)
            operands.append(Operand(size_bytes, memory=memory, access=op.access))
    return Instruction(
        insn.mnemonic,
        insn.size,
        tuple(operands),
        bytes(insn.opcode),
        bool(insn.rex & 8),
        has_size_prefix and not insn.rex & 8,
        bytes(byte for byte in insn.prefix if byte),
        insn.modrm >> 3 & 7,
        insn.addr_size,
        f"{insn.mnemonic} {insn.op_str}".strip(),
        _repeat_prefix(insn.bytes),
    )


def _repeat_prefix(code: bytes) -> int:
    """The last REP or REPNE before the opcode. capstone shows only those that it thinks make sense."""
    found = 0
    for byte in code:
        if byte not in LEGACY_PREFIXES:
            break
        if byte in (0xF2, 0xF3):
            found = byte
    return found


def disassemble(code: bytes, bits: int) -> str:
    """The instruction as text, or its bytes where it is none."""
    insn = decode(code, bits)
    return insn.text if insn is not None else f"(bytes {code[:8].hex(' ')})"


def disassembly(code: bytes, address: int, bits: int) -> Iterator[tuple[int, str]]:
    """(size in bytes, text) of one instruction after the other; a byte that begins none has no text."""
    decoder = capstone.Cs(capstone.CS_ARCH_X86, _MODES[bits])
    at = 0
    while at < len(code):
        begun = at
        for _, n_bytes, mnemonic, operands in decoder.disasm_lite(code[at : at + WINDOW_BYTES], address + at):
            yield n_bytes, f"{mnemonic} {operands}".strip()
            at += n_bytes
        if at == begun:
            yield 1, ""
            at += 1
