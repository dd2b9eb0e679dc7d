# SPDX-License-Identifier: GPL-2.0-or-later
"""System instructions with operands: descriptor tables, segment loads, SWAPGS, control and debug registers.

This room has no twin: hypercalls take their arguments in fixed registers.
"""

from __future__ import annotations

from pvisor.cpu.decode import Instruction
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import CS, DS, ES, FS, GS, RAX, RCX, RDX, RSP, SS, Exit
from pvisor.full import operands
from pvisor.full.breakpoints import Breakpoints
from pvisor.full.control import ControlRegisters
from pvisor.full.segments import Segmentation
from pvisor.full.state import CR0_TS, NM, UD, CpuState, GuestFault, general_protection, is_canonical
from pvisor.full.system_operands import SystemOperands

U32_MAX = 0xFFFF_FFFF
XSAVES = frozenset(("xsave", "xsaveopt", "xrstor"))
LOADS = {"les": ES, "lds": DS, "lss": SS, "lfs": FS, "lgs": GS}


def control_operands(insn: Instruction, kind: str) -> tuple[int, str]:
    """(number, general register) of a MOV to or from CRn or DRn."""
    names = [operand.register for operand in insn.operands]
    special = next(name for name in names if name.startswith(kind))
    return int(special[2:]), next(name for name in names if not name.startswith(kind))


def loads_stack_segment(insn: Instruction) -> bool:
    """MOV SS and POP SS: neither events nor debug traps come right behind them (SDM 3A 6.8.3)."""
    return insn.mnemonic in ("mov", "pop") and insn.operands[0].register == "ss"


class SystemInstructions:
    """Emulations of one vCPU. Each returns the RIP to go on at."""

    def __init__(
        self,
        vcpu: UnicornVcpu,
        state: CpuState,
        segments: Segmentation,
        operands: SystemOperands,
        control: ControlRegisters,
        breakpoints: Breakpoints,
    ) -> None:
        self._vcpu = vcpu
        self._state = state
        self._segments = segments
        self._operands = operands
        self._control = control
        self._breakpoints = breakpoints

    def descriptor_table(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        """LGDT, LIDT, LLDT, LTR."""
        if insn.mnemonic in ("lldt", "ltr"):
            selector = self._operands.read(insn, insn.operands[0], 2, next_rip)
            exit.n_ops, exit.ops[0] = 1, selector
            (self._segments.load_ldtr if insn.mnemonic == "lldt" else self._segments.load_tr)(selector)
            return next_rip
        base_bytes = 8 if self._segments.in_64bit_code else 4
        at = self._operands.address_of(insn, insn.operands[0], next_rip)
        raw = self._operands.read_memory(at, 2 + base_bytes)
        base = int.from_bytes(raw[2:], "little")
        if base_bytes == 4 and self._operands.operand_bytes(insn) == 2:
            base &= 0xFF_FFFF
        if base_bytes == 8 and not is_canonical(base):
            raise general_protection()
        table = self._state.gdtr if insn.mnemonic == "lgdt" else self._state.idtr
        table.base, table.limit = base, int.from_bytes(raw[:2], "little")
        exit.n_ops, exit.ops[0], exit.ops[1] = 2, table.base, table.limit
        return next_rip

    def segment_load(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        """MOV to a segment register, POP of one, LDS and its kin."""
        if insn.mnemonic == "mov":
            selector = self._operands.read(insn, insn.operands[1], 2, next_rip)
            exit.n_ops, exit.ops[0] = 1, selector
            index = operands.SEGMENTS[insn.operands[0].register]
            if index == CS:
                raise GuestFault(UD)
            self._segments.load(index, selector)
            self._shadow_after(index)
        elif insn.mnemonic == "pop":
            self._pop_segment(exit, insn)
            self._shadow_after(operands.SEGMENTS[insn.operands[0].register])
        else:
            self._load_far_pointer(exit, insn, next_rip)
        return next_rip

    def _shadow_after(self, index: int) -> None:
        """MOV and POP of SS: no event before the next instruction, which loads RSP (SDM 3A 6.8.3)."""
        if index == SS:
            self._vcpu.shadow_next_block()

    def _pop_segment(self, exit: Exit, insn: Instruction) -> None:
        n_bytes = self._operands.stack_bytes(insn)
        rsp = self._vcpu.regs.gpr[RSP]
        raw = self._operands.read_memory(self._operands.stack_address(rsp), 2)
        selector = int.from_bytes(raw, "little")
        exit.n_ops, exit.ops[0] = 1, selector
        after = self._operands.moved_stack(n_bytes)
        self._segments.load(operands.SEGMENTS[insn.operands[0].register], selector)
        self._vcpu.regs.gpr[RSP] = after

    def _load_far_pointer(self, exit: Exit, insn: Instruction, next_rip: int) -> None:
        n_bytes = self._operands.operand_bytes(insn)
        address = self._operands.address_of(insn, insn.operands[1], next_rip)
        raw = self._operands.read_memory(address, n_bytes + 2)
        selector = int.from_bytes(raw[n_bytes:], "little")
        exit.n_ops, exit.ops[0] = 1, selector
        self._segments.load(LOADS[insn.mnemonic], selector)
        operands.write_register(
            self._vcpu, insn.operands[0].register, int.from_bytes(raw[:n_bytes], "little")
        )

    def swapgs(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        """SWAPGS: 64-bit code only."""
        if not self._segments.in_64bit_code:
            raise GuestFault(UD)
        base = self._vcpu.segment(GS).base
        self._segments.set_base(GS, self._state.kernel_gs_base)
        self._state.kernel_gs_base = base
        return next_rip

    # --- control and debug registers

    def xsetbv(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        """XSETBV."""
        gpr = self._vcpu.regs.gpr
        value = gpr[RAX] & U32_MAX | (gpr[RDX] & U32_MAX) << 32
        exit.n_ops, exit.ops[0], exit.ops[1] = 2, gpr[RCX] & U32_MAX, value
        self._control.write_xcr(gpr[RCX] & U32_MAX, value)
        return next_rip

    def xsave_while_ts(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        """XSAVE and its kin while CR0.TS is set: #NM. They have trapped, as #UD, and XGETBV has, too."""
        if insn.mnemonic != "xgetbv":
            raise GuestFault(NM if insn.mnemonic.removesuffix("64") in XSAVES else UD)
        gpr = self._vcpu.regs.gpr
        if gpr[RCX] & U32_MAX:
            raise general_protection()
        gpr[RAX], gpr[RDX] = self._state.xcr0, 0
        return next_rip

    def mov_cr(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        """MOV to and from CRn."""
        number, register = control_operands(insn, "cr")
        exit.n_ops, exit.ops[0] = 1, number
        if insn.opcode[1] == 0x20:
            operands.write_register(self._vcpu, register, self._control.read(number))
        else:
            value = operands.read_register(self._vcpu, register)
            exit.n_ops, exit.ops[1] = 2, value
            self._control.write(number, value)
        return next_rip

    def mov_dr(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        """MOV to and from DRn."""
        self._breakpoints.check_access()
        number, register = control_operands(insn, "dr")
        exit.n_ops, exit.ops[0] = 1, number
        if insn.opcode[1] == 0x21:
            operands.write_register(self._vcpu, register, self._control.read_debug(number))
        else:
            value = operands.read_register(self._vcpu, register)
            exit.n_ops, exit.ops[1] = 2, value
            self._control.write_debug(number, value)
        return next_rip

    def clts(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        """CLTS."""
        self._control.write_cr0(self._state.cr0 & ~CR0_TS)
        return next_rip

    def lmsw(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        """LMSW sets PE, MP, EM and TS; it cannot clear PE (SDM 2A)."""
        value = self._operands.read(insn, insn.operands[0], 2, next_rip) & 0xF
        self._control.write_cr0(self._state.cr0 & ~0xE | value)
        return next_rip
