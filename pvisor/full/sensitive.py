# SPDX-License-Identifier: GPL-2.0-or-later
"""The instructions that x86 forgot to make privileged: they show or change privileged state, and never trap.

PUSHF and POPF, SGDT, SIDT, SLDT, STR, SMSW, LAR, LSL, VERR and VERW run in any ring, as if the CPU's state
were the guest's. The engine puts an instruction in their place that traps (cpu/shim/sensitive.c); here is
what they should have done. With `--no-patch` nobody comes here, and a guest sees the hole.

This room has no twin: a paravirtual guest asks instead (hypercalls.md, "What a guest must not do").
"""

from __future__ import annotations

from pvisor.cpu.decode import Instruction
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import RSP, Exit
from pvisor.full.interrupts import Interrupts
from pvisor.full.segments import CODE, WRITABLE_OR_READABLE, Descriptor, Segmentation
from pvisor.full.state import (
    RFLAGS_IF,
    RFLAGS_IOPL,
    RFLAGS_RF,
    RFLAGS_VM,
    CpuState,
    is_long,
)
from pvisor.full.system_operands import SystemOperands

RFLAGS_ZF = 1 << 6
POPPED = 0x24_7FD5
"""What POPF takes from the stack (SDM 2B, POPF): all but VM, RF, VIF, VIP and what is reserved."""
LAR_KINDS = frozenset((1, 2, 3, 4, 5, 9, 11, 12))
LAR_KINDS_LONG = frozenset((2, 9, 11, 12))
LSL_KINDS = frozenset((1, 2, 3, 9, 11))
LSL_KINDS_LONG = frozenset((2, 9, 11))
"""Types of system descriptors that LAR and LSL know (SDM 2A, LAR, LSL)."""


class SensitiveInstructions:
    """Emulations of one vCPU. Each returns the RIP to go on at. Raises GuestFault."""

    def __init__(
        self,
        vcpu: UnicornVcpu,
        state: CpuState,
        segments: Segmentation,
        interrupts: Interrupts,
        operands: SystemOperands,
    ) -> None:
        self._vcpu = vcpu
        self._state = state
        self._segments = segments
        self._interrupts = interrupts
        self._operands = operands

    # --- flags

    def pushf(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        """PUSHF: the guest's own IF and IOPL; VM and RF are pushed as 0."""
        n_bytes = self._operands.stack_bytes(insn)
        value = self._interrupts.rflags & ~(RFLAGS_VM | RFLAGS_RF) & (1 << 8 * n_bytes) - 1
        rsp = self._operands.moved_stack(-n_bytes)
        self._operands.write_memory(self._operands.stack_address(rsp), value.to_bytes(n_bytes, "little"))
        self._vcpu.regs.gpr[RSP] = rsp
        return next_rip

    def popf(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        """POPF: ring 3 changes IOPL never, and IF only where IOPL lets it."""
        n_bytes = self._operands.stack_bytes(insn)
        at = self._operands.stack_address(self._vcpu.regs.gpr[RSP])
        popped = int.from_bytes(self._operands.read_memory(at, n_bytes), "little")
        old, changes = self._interrupts.rflags, POPPED if n_bytes > 2 else POPPED & 0xFFFF
        if self._segments.cpl:
            changes &= ~RFLAGS_IOPL
            if self._state.iopl < 3:
                changes &= ~RFLAGS_IF
        self._interrupts.rflags = old & ~changes & ~RFLAGS_RF | popped & changes
        self._vcpu.regs.gpr[RSP] = self._operands.moved_stack(n_bytes)
        return next_rip

    # --- table registers and CR0

    def descriptor_store(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        """SGDT, SIDT, SLDT, STR."""
        operand = insn.operands[0]
        if insn.mnemonic in ("sldt", "str"):
            register = self._state.ldtr if insn.mnemonic == "sldt" else self._state.tr
            self._operands.write(insn, operand, register.selector, 2, next_rip)
            return next_rip
        table = self._state.gdtr if insn.mnemonic == "sgdt" else self._state.idtr
        mode64 = self._segments.in_64bit_code
        base = table.base
        if not mode64:
            base &= 0xFF_FFFF if self._operands.operand_bytes(insn) == 2 else 0xFFFF_FFFF
        raw = table.limit.to_bytes(2, "little") + base.to_bytes(8 if mode64 else 4, "little")
        self._operands.write_memory(self._operands.address_of(insn, operand, next_rip), raw)
        return next_rip

    def smsw(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        """SMSW: the low bits of CR0 into a register by its size, or 16 bits into memory."""
        self._operands.write(insn, insn.operands[0], self._state.cr0, 2, next_rip)
        return next_rip

    # --- questions about descriptors

    def segment_query(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        """LAR, LSL, VERR, VERW: ZF tells whether this ring may use the descriptor so."""
        selector = self._operands.read(insn, insn.operands[-1], 2, next_rip)
        exit.n_ops, exit.ops[0] = 1, selector
        answer = self._answer(insn.mnemonic, selector)
        flags = self._vcpu.rflags
        self._vcpu.rflags = flags & ~RFLAGS_ZF if answer is None else flags | RFLAGS_ZF
        if answer is not None and insn.mnemonic in ("lar", "lsl"):
            self._operands.write(insn, insn.operands[0], answer, 2, next_rip)
        return next_rip

    def _answer(self, question: str, selector: int) -> int | None:
        """The value, None where ZF is cleared. A selector beyond its table is no fault here."""
        if not selector & 0xFFFC:
            return None
        descriptor = self._segments.find_descriptor(selector)
        if descriptor is None:
            return None
        visible = descriptor.is_conforming or max(self._segments.cpl, selector & 3) <= descriptor.dpl
        if descriptor.is_system:
            return self._answer_of_system(question, selector, descriptor, visible)
        if question == "verw":
            return 0 if descriptor.is_writable_data and visible else None
        if question == "verr":
            readable = not descriptor.flags & CODE or descriptor.flags & WRITABLE_OR_READABLE
            return 0 if readable and visible else None
        if not visible:
            return None
        return descriptor.flags & 0xF0_FF00 if question == "lar" else descriptor.limit

    def _answer_of_system(
        self, question: str, selector: int, descriptor: Descriptor, visible: bool
    ) -> int | None:
        long = is_long(self._state)
        known = {
            "lar": LAR_KINDS_LONG if long else LAR_KINDS,
            "lsl": LSL_KINDS_LONG if long else LSL_KINDS,
        }
        if descriptor.kind not in known.get(question, ()) or not visible:
            return None
        return descriptor.flags & 0xF0_FF00 if question == "lar" else descriptor.limit
