# SPDX-License-Identifier: GPL-2.0-or-later
"""Operands of an instruction that is emulated: registers by name, memory by effective address.

This room has no twin: hypercalls have their arguments in fixed registers.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pvisor.cpu.decode import Instruction, Memory
from pvisor.cpu.vcpu import CS, DS, ES, FS, GPR_NAMES, GS, RBP, RSP, SS, Vcpu


def _register_table() -> Mapping[str, tuple[int, int, int]]:
    """Name -> (index, shift, size in bytes) of every general register."""
    table: dict[str, tuple[int, int, int]] = {}
    for index, full in enumerate(name.lower() for name in GPR_NAMES):
        table[full] = (index, 0, 8)
        if index < 8:
            table["e" + full[1:]] = (index, 0, 4)
            table[full[1:]] = (index, 0, 2)
            table[full[1] + "l" if index < 4 else full[1:] + "l"] = (index, 0, 1)
        else:
            for suffix, size in (("d", 4), ("w", 2), ("b", 1)):
                table[full + suffix] = (index, 0, size)
    for index, name in enumerate(("ah", "ch", "dh", "bh")):
        table[name] = (index, 8, 1)
    return MappingProxyType(table)


REGISTERS = _register_table()
SEGMENTS = {"es": ES, "cs": CS, "ss": SS, "ds": DS, "fs": FS, "gs": GS}


def read_register(vcpu: Vcpu, name: str) -> int:
    """A general register's value by its assembler name."""
    index, shift, size = REGISTERS[name]
    return vcpu.regs.gpr[index] >> shift & ((1 << 8 * size) - 1)


def write_register(vcpu: Vcpu, name: str, value: int) -> None:
    """Set a general register; a 32-bit write clears the upper half (SDM 1 3.4.1.1)."""
    index, shift, size = REGISTERS[name]
    mask = (1 << 8 * size) - 1
    gpr = vcpu.regs.gpr
    if size >= 4:
        gpr[index] = value & mask
    else:
        gpr[index] = gpr[index] & ~(mask << shift) & (1 << 64) - 1 | (value & mask) << shift


def effective_address(vcpu: Vcpu, insn: Instruction, memory: Memory, next_rip: int, mode64: bool) -> int:
    """The linear address of a memory operand."""
    address = memory.displacement
    if memory.base in ("rip", "eip"):
        address += next_rip
    elif memory.base:
        address += read_register(vcpu, memory.base)
    if memory.index and memory.index not in ("riz", "eiz"):
        address += read_register(vcpu, memory.index) * memory.scale
    address &= (1 << 8 * insn.address_bytes) - 1
    base_index = REGISTERS.get(memory.base, (0, 0, 0))[0]
    segment = (
        SEGMENTS[memory.segment] if memory.segment else SS if memory.base and base_index in (RBP, RSP) else DS
    )
    if mode64:
        if segment in (FS, GS):
            address += vcpu.segment(segment).base
        return address & (1 << 64) - 1
    return address + vcpu.segment(segment).base & 0xFFFF_FFFF
