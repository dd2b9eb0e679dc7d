# SPDX-License-Identifier: GPL-2.0-or-later
"""System instructions with operands: descriptor tables, segment loads, far transfers, IRET, SWAPGS.

This room has no twin: hypercalls take their arguments in fixed registers.
"""

from __future__ import annotations

from pvisor.cpu.decode import Instruction, Operand
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import CS, DS, ES, FS, GS, RSP, SS, Exit
from pvisor.errors import DomainCrash
from pvisor.full import operands
from pvisor.full.interrupts import Interrupts
from pvisor.full.paging import ShadowPaging
from pvisor.full.segments import CONFORMING_OR_DOWN, LONG, Segmentation
from pvisor.full.state import UD, CpuState, GuestFault, TableRegister, general_protection

SEGMENT_BY_NAME = operands.SEGMENTS
LOADS = {"les": ES, "lds": DS, "lss": SS, "lfs": FS, "lgs": GS}


class SystemInstructions:
    """Emulations of one vCPU. Each returns the RIP to go on at, or None when it has set RIP itself."""

    def __init__(
        self,
        vcpu: UnicornVcpu,
        state: CpuState,
        paging: ShadowPaging,
        segments: Segmentation,
        interrupts: Interrupts,
    ) -> None:
        self._vcpu = vcpu
        self._state = state
        self._paging = paging
        self._segments = segments
        self._interrupts = interrupts

    # --- operands

    @property
    def in_64bit_code(self) -> bool:
        """Is the current code segment a 64-bit one?"""
        return bool(self._vcpu.segment(CS).flags & LONG)

    def read_register(self, name: str) -> int:
        """A general register."""
        return operands.read_register(self._vcpu, name)

    def write_register(self, name: str, value: int) -> None:
        """Set a general register."""
        operands.write_register(self._vcpu, name, value)

    def address_of(self, insn: Instruction, operand: Operand, next_rip: int) -> int:
        """Linear address of a memory operand. Raises GuestFault (#UD) when it is none."""
        if operand.memory is None:
            raise GuestFault(UD)
        return operands.effective_address(self._vcpu, insn, operand.memory, next_rip, self.in_64bit_code)

    def read_operand(self, insn: Instruction, operand: Operand, n_bytes: int, next_rip: int) -> int:
        """A register's or a memory operand's low bytes."""
        if operand.register:
            return self.read_register(operand.register) & (1 << 8 * n_bytes) - 1
        raw = self._paging.read_virtual(self.address_of(insn, operand, next_rip), n_bytes)
        return int.from_bytes(raw, "little")

    @staticmethod
    def control_operands(insn: Instruction, kind: str) -> tuple[int, str]:
        """(number, general register) of a MOV to or from CRn or DRn."""
        names = [operand.register for operand in insn.operands]
        special = next(name for name in names if name.startswith(kind))
        return int(special[2:]), next(name for name in names if not name.startswith(kind))

    def _operand_bytes(self, insn: Instruction) -> int:
        """Operand size of a far transfer or IRET: 4, 2 with the prefix, 8 with REX.W (SDM 1 3.6)."""
        if insn.rex_w:
            return 8
        is_32 = self.in_64bit_code or bool(self._vcpu.segment(CS).flags & 1 << 22)
        return 2 if insn.has_operand_size_prefix == is_32 else 4

    # --- instructions

    def descriptor_table(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        """LGDT, LIDT, LLDT, LTR."""
        if insn.mnemonic in ("lldt", "ltr"):
            selector = self.read_operand(insn, insn.operands[0], 2, next_rip)
            exit.n_ops, exit.ops[0] = 1, selector
            (self._segments.load_ldtr if insn.mnemonic == "lldt" else self._segments.load_tr)(selector)
            return next_rip
        base_bytes = 8 if self.in_64bit_code else 4
        raw = self._paging.read_virtual(self.address_of(insn, insn.operands[0], next_rip), 2 + base_bytes)
        base = int.from_bytes(raw[2:], "little")
        if base_bytes == 4 and self._operand_bytes(insn) == 2:
            base &= 0xFF_FFFF
        if base_bytes == 8 and base >> 47 not in (0, 0x1FFFF):
            raise general_protection()
        table = TableRegister(base, int.from_bytes(raw[:2], "little"))
        exit.n_ops, exit.ops[0], exit.ops[1] = 2, table.base, table.limit
        if insn.mnemonic == "lgdt":
            self._state.gdtr = table
        else:
            self._state.idtr = table
        return next_rip

    def segment_load(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        """MOV to a segment register, POP of one, LDS and its kin."""
        if insn.mnemonic == "mov":
            selector = self.read_operand(insn, insn.operands[1], 2, next_rip)
            exit.n_ops, exit.ops[0] = 1, selector
            index = SEGMENT_BY_NAME[insn.operands[0].register]
            if index == CS:
                raise GuestFault(UD)
            self._segments.load(index, selector)
            self._shadow_after(index)
        elif insn.mnemonic == "pop":
            self._pop_segment(exit, insn)
            self._shadow_after(SEGMENT_BY_NAME[insn.operands[0].register])
        else:
            self._load_far_pointer(exit, insn, next_rip)
        return next_rip

    def _shadow_after(self, index: int) -> None:
        """MOV and POP of SS: no event before the next instruction, which loads RSP (SDM 3A 6.8.3)."""
        if index == SS:
            self._vcpu.shadow_next_block()

    def _pop_segment(self, exit: Exit, insn: Instruction) -> None:
        n_bytes = 2 if insn.has_operand_size_prefix else 8 if self.in_64bit_code else 4
        rsp = self._vcpu.regs.gpr[RSP]
        selector = int.from_bytes(self._paging.read_virtual(self._stack_address(rsp), 2), "little")
        exit.n_ops, exit.ops[0] = 1, selector
        self._segments.load(SEGMENT_BY_NAME[insn.operands[0].register], selector)
        self._vcpu.regs.gpr[RSP] = self._wrap(rsp + n_bytes)

    def _load_far_pointer(self, exit: Exit, insn: Instruction, next_rip: int) -> None:
        n_bytes = self._operand_bytes(insn)
        address = self.address_of(insn, insn.operands[1], next_rip)
        raw = self._paging.read_virtual(address, n_bytes + 2)
        selector = int.from_bytes(raw[n_bytes:], "little")
        exit.n_ops, exit.ops[0] = 1, selector
        self._segments.load(LOADS[insn.mnemonic], selector)
        self.write_register(insn.operands[0].register, int.from_bytes(raw[:n_bytes], "little"))

    def far_transfer(self, exit: Exit, insn: Instruction, next_rip: int) -> None:
        """Far JMP, CALL and RET to a code segment."""
        n_bytes = self._operand_bytes(insn)
        is_return = insn.opcode[0] in (0xCA, 0xCB)
        if is_return:
            raw = self._paging.read_virtual(self._stack_address(self._vcpu.regs.gpr[RSP]), 2 * n_bytes)
            target = int.from_bytes(raw[:n_bytes], "little")
            selector = int.from_bytes(raw[n_bytes : n_bytes + 2], "little")
        elif insn.opcode[0] in (0xEA, 0x9A):
            parts = [operand.immediate or 0 for operand in insn.operands]
            selector, target = parts[0] & 0xFFFF, parts[1] & (1 << 8 * n_bytes) - 1
        else:
            raw = self._paging.read_virtual(self.address_of(insn, insn.operands[0], next_rip), n_bytes + 2)
            target, selector = (
                int.from_bytes(raw[:n_bytes], "little"),
                int.from_bytes(raw[n_bytes:], "little"),
            )
        exit.n_ops, exit.ops[0], exit.ops[1] = 2, selector, target
        if is_return and selector & 3:
            raise DomainCrash(f"far return to ring {selector & 3}: full mode has no guest user code yet")
        if not is_return:
            self._segments.refuse_gate(selector)
        self._transfer(insn, selector, target, n_bytes, next_rip, is_return)

    def _transfer(
        self, insn: Instruction, selector: int, target: int, n_bytes: int, next_rip: int, is_return: bool
    ) -> None:
        descriptor = self._segments.code_for(selector)
        if selector & 3 and not descriptor.flags & CONFORMING_OR_DOWN:
            raise general_protection(selector)
        if descriptor.flags & LONG and self._state.is_long:
            if target >> 47 not in (0, 0x1FFFF):
                raise general_protection()
        elif target > descriptor.limit:
            raise general_protection()
        rsp = self._vcpu.regs.gpr[RSP]
        if is_return:
            extra = insn.operands[0].immediate or 0 if insn.opcode[0] == 0xCA else 0
            rsp = self._wrap(rsp + 2 * n_bytes + extra)
        elif insn.opcode[0] == 0x9A or (insn.opcode[0] == 0xFF and "call" in insn.mnemonic):
            rsp = self._wrap(rsp - 2 * n_bytes)
            old = self._vcpu.segment(CS).selector
            mask = (1 << 8 * n_bytes) - 1
            frame = (next_rip & mask).to_bytes(n_bytes, "little") + old.to_bytes(n_bytes, "little")
            self._paging.write_virtual(self._stack_address(rsp), frame)
        self._segments.load_code(selector, descriptor)
        self._vcpu.regs.gpr[RSP] = rsp
        self._vcpu.regs.rip = target

    def interrupt_return(self, exit: Exit, insn: Instruction, next_rip: int) -> None:
        """IRET in its three sizes."""
        self._interrupts.interrupt_return(self._operand_bytes(insn))

    def swapgs(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        """SWAPGS: 64-bit code only."""
        if not self.in_64bit_code:
            raise GuestFault(UD)
        base = self._vcpu.segment(GS).base
        self._segments.set_base(GS, self._state.kernel_gs_base)
        self._state.kernel_gs_base = base
        return next_rip

    def _stack_address(self, rsp: int) -> int:
        return rsp if self.in_64bit_code else self._wrap(rsp) + self._vcpu.segment(SS).base & 0xFFFF_FFFF

    def _wrap(self, rsp: int) -> int:
        return rsp & ((1 << 64) - 1 if self.in_64bit_code else 0xFFFF_FFFF)
