# SPDX-License-Identifier: GPL-2.0-or-later
"""Operands of an instruction that is emulated: registers by name, memory by effective address.

This room has no twin: hypercalls have their arguments in fixed registers.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pvisor.cpu.decode import Instruction, Memory
from pvisor.cpu.vcpu import CS, DS, ES, FS, GPR_NAMES, GS, RBP, RSP, SS, Vcpu
from pvisor.full.address_space import AddressSpace
from pvisor.full.flags import STATUS
from pvisor.full.segments import LONG


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
NAMES = MappingProxyType(
    {(index, size): name for name, (index, shift, size) in REGISTERS.items() if not shift}
)
"""The name of a general register at a size: (index, size in bytes) -> name."""
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
    return linear_address(vcpu, segment, address, mode64)


def linear_address(vcpu: Vcpu, segment: int, offset: int, mode64: bool) -> int:
    """An offset in a segment as a linear address: in 64-bit code only FS and GS have a base."""
    if mode64:
        if segment in (FS, GS):
            offset += vcpu.segment(segment).base
        return offset & (1 << 64) - 1
    return offset + vcpu.segment(segment).base & 0xFFFF_FFFF


class UnsupportedOperandError(Exception):
    """An operand that emulation does not reach: an x87, MMX or control register."""


class Operands:
    """One instruction's operands by number: what they are worth, and where its results go."""

    def __init__(self, vcpu: Vcpu, space: AddressSpace, insn: Instruction, next_rip: int) -> None:
        self.vcpu = vcpu
        self.space = space
        self.insn = insn
        self.mode64 = bool(vcpu.segment(CS).flags & LONG)
        self._next_rip = next_rip

    def size_bytes(self, number: int) -> int:
        """An operand's size."""
        return self.insn.operands[number].size_bytes

    def is_memory(self, number: int) -> bool:
        """Is the operand in memory?"""
        return self.insn.operands[number].memory is not None

    def address(self, number: int) -> int:
        """Linear address of a memory operand, by the registers as they are now."""
        memory = self.insn.operands[number].memory
        if memory is None:
            raise UnsupportedOperandError
        return effective_address(self.vcpu, self.insn, memory, self._next_rip, self.mode64)

    def reserve(self, number: int, *, write: bool) -> None:
        """Raise the GuestFault that an access to the operand would raise."""
        if self.is_memory(number):
            self.space.reserve(self.address(number), self.size_bytes(number), write=write)

    def read(self, number: int, size_bytes: int = 0) -> int:
        """An operand's value; an immediate is cut to `size_bytes`, where that is given. Raises GuestFault."""
        operand = self.insn.operands[number]
        if operand.memory is not None:
            return self.space.read(self.address(number), operand.size_bytes)
        if operand.immediate is not None:
            return operand.immediate & (1 << 8 * (size_bytes or operand.size_bytes)) - 1
        if operand.register in SEGMENTS:
            return self.vcpu.segment(SEGMENTS[operand.register]).selector
        self._check(operand.register)
        return read_register(self.vcpu, operand.register)

    def write(self, number: int, value: int) -> None:
        """Set an operand. Raises GuestFault, and has written nothing then."""
        operand = self.insn.operands[number]
        if operand.memory is not None:
            self.space.write(self.address(number), operand.size_bytes, value)
        else:
            self._check(operand.register)
            write_register(self.vcpu, operand.register, value)

    @staticmethod
    def _check(register: str) -> None:
        if register not in REGISTERS:
            raise UnsupportedOperandError

    @property
    def flags(self) -> int:
        """RFLAGS; setting it changes the status flags only."""
        return self.vcpu.rflags

    @flags.setter
    def flags(self, value: int) -> None:
        self.vcpu.rflags = self.vcpu.rflags & ~STATUS | value & STATUS
