# SPDX-License-Identifier: GPL-2.0-or-later
"""Operands of system instructions: registers, memory as the guest's code reaches it now, the stack.

This room has no twin: hypercalls have their arguments in fixed registers.
"""

from __future__ import annotations

from pvisor.cpu.decode import Instruction, Operand
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import CS, RSP, SS, Vcpu
from pvisor.full.operands import effective_address, read_register, write_register
from pvisor.full.paging import ShadowPaging
from pvisor.full.segments import DEFAULT_BIG, Segmentation
from pvisor.full.state import UD, GuestFault, is_canonical
from pvisor.full.walk import READ, USER_READ, USER_WRITE, WRITE

STACK_INSTRUCTIONS = frozenset(("push", "pop", "call", "ret", "enter", "leave", "pushfq", "popfq"))


def bad_stack_address(vcpu: Vcpu, insn: Instruction, rip: int) -> bool:
    """Does a 64-bit instruction use the stack, implied or by RSP or RBP, where it is not canonical?"""
    rsp = vcpu.regs.gpr[RSP]
    addresses = [rsp, rsp - 8 & (1 << 64) - 1] if insn.mnemonic in STACK_INSTRUCTIONS else []
    for operand in insn.operands:
        memory = operand.memory
        if memory is not None and not memory.segment and memory.base in ("rsp", "rbp", "esp", "ebp"):
            addresses.append(effective_address(vcpu, insn, memory, rip + insn.n_bytes, True))
    return not all(is_canonical(address) for address in addresses)


class SystemOperands:
    """Operands of system instructions: registers, memory at the virtual CPL, the stack."""

    def __init__(self, vcpu: UnicornVcpu, paging: ShadowPaging, segments: Segmentation) -> None:
        self._vcpu = vcpu
        self._paging = paging
        self._segments = segments

    def operand_bytes(self, insn: Instruction) -> int:
        """Operand size: 4, 2 with the prefix, 8 with REX.W (SDM 1 3.6)."""
        if insn.rex_w:
            return 8
        code = self._vcpu.segment(CS).flags
        is_32 = bool(code & (1 << 21 | DEFAULT_BIG))
        return 2 if insn.has_operand_size_prefix == is_32 else 4

    def stack_bytes(self, insn: Instruction) -> int:
        """Operand size of a push or a pop: in 64-bit code it is 8 or 2, never 4 (SDM 1 6.2.2)."""
        if self._segments.in_64bit_code:
            return 2 if insn.has_operand_size_prefix else 8
        return self.operand_bytes(insn)

    def address_of(self, insn: Instruction, operand: Operand, next_rip: int) -> int:
        """Linear address of a memory operand. Raises GuestFault (#UD) when it is none."""
        if operand.memory is None:
            raise GuestFault(UD)
        return effective_address(self._vcpu, insn, operand.memory, next_rip, self._segments.in_64bit_code)

    def read(self, insn: Instruction, operand: Operand, n_bytes: int, next_rip: int) -> int:
        """A register's or a memory operand's low bytes. Raises GuestFault."""
        if operand.register:
            return read_register(self._vcpu, operand.register) & (1 << 8 * n_bytes) - 1
        raw = self.read_memory(self.address_of(insn, operand, next_rip), n_bytes)
        return int.from_bytes(raw, "little")

    def read_memory(self, linear: int, n_bytes: int) -> bytes:
        """Memory as the guest's code reads it now. Raises GuestFault."""
        data = self._paging.read_virtual(linear, n_bytes, USER_READ if self._segments.cpl == 3 else READ)
        self._paging.note(linear, n_bytes, is_write=False)
        return data

    def write_memory(self, linear: int, data: bytes) -> None:
        """Memory as the guest's code writes it now. Raises GuestFault."""
        self._paging.write_virtual(linear, data, USER_WRITE if self._segments.cpl == 3 else WRITE)
        self._paging.note(linear, len(data), is_write=True)

    def check_writable(self, linear: int, n_bytes: int) -> None:
        """Could a store go there? Raises GuestFault. For what must not be half done."""
        self._paging.check_virtual(linear, n_bytes, USER_WRITE if self._segments.cpl == 3 else WRITE)

    def write(self, insn: Instruction, operand: Operand, value: int, n_bytes: int, next_rip: int) -> None:
        """A register, by its own size, or n_bytes of memory. Raises GuestFault."""
        if operand.register:
            write_register(self._vcpu, operand.register, value)
        else:
            data = (value & (1 << 8 * n_bytes) - 1).to_bytes(n_bytes, "little")
            self.write_memory(self.address_of(insn, operand, next_rip), data)

    # --- the stack

    def _stack_mask(self) -> int:
        """64-bit code has a 64-bit stack; else the B flag of SS says (SDM 1 6.2.3)."""
        if self._segments.in_64bit_code:
            return (1 << 64) - 1
        return 0xFFFF_FFFF if self._vcpu.segment(SS).flags & DEFAULT_BIG else 0xFFFF

    def stack_address(self, rsp: int) -> int:
        """Linear address of a stack pointer."""
        mask = self._stack_mask()
        if mask == (1 << 64) - 1:
            return rsp & mask
        return (rsp & mask) + self._vcpu.segment(SS).base & 0xFFFF_FFFF

    def moved_stack(self, n_bytes: int) -> int:
        """RSP after n_bytes were popped (or pushed, when negative)."""
        mask, rsp = self._stack_mask(), self._vcpu.regs.gpr[RSP]
        moved = rsp + n_bytes & mask
        return moved if mask != 0xFFFF else rsp & ~0xFFFF | moved
