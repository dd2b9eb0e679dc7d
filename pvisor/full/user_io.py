# SPDX-License-Identifier: GPL-2.0-or-later
"""IN, OUT, INS and OUTS of guest user code: allowed by IOPL or by the TSS's I/O permission bitmap, else #GP.

The engine checks neither, so these instructions are patched where user code runs (cpu/shim/sensitive.c). The
same patched bytes may be run by the guest kernel, which may do it always. Source: SDM 1 19.5. This room has
no twin: a paravirtual guest has no I/O ports.
"""

from __future__ import annotations

from pvisor.cpu.decode import Instruction
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import DS, ES, RAX, RCX, RDI, RDX, RSI, Exit
from pvisor.full import operands
from pvisor.full.breakpoints import Breakpoints
from pvisor.full.paging import ShadowPaging
from pvisor.full.segments import Segmentation
from pvisor.full.state import CpuState, general_protection
from pvisor.full.system_operands import SystemOperands
from pvisor.machine.ioports import IoPortBus

RFLAGS_DF = 1 << 10
REPEAT_PREFIXES = frozenset((0xF2, 0xF3))


class UserIo:
    """I/O instructions of one vCPU that trapped. Raises GuestFault."""

    def __init__(
        self,
        vcpu: UnicornVcpu,
        state: CpuState,
        paging: ShadowPaging,
        segments: Segmentation,
        operand: SystemOperands,
        ioports: IoPortBus,
        breakpoints: Breakpoints,
    ) -> None:
        self._vcpu = vcpu
        self._state = state
        self._paging = paging
        self._segments = segments
        self._operands = operand
        self._ioports = ioports
        self._breakpoints = breakpoints

    def access(self, exit: Exit, insn: Instruction, next_rip: int) -> int:
        """One instruction, or one iteration of one: the RIP to go on at."""
        opcode = insn.opcode[0]
        gpr = self._vcpu.regs.gpr
        immediate = opcode in (0xE4, 0xE5, 0xE6, 0xE7)
        ioport = insn.operands[opcode >> 1 & 1 ^ 1].immediate if immediate else gpr[RDX] & 0xFFFF
        assert ioport is not None
        ioport &= 0xFF if immediate else 0xFFFF
        size = 1 if not opcode & 1 else min(4, self._operands.operand_bytes(insn))
        exit.n_ops, exit.ops[0], exit.ops[1] = 2, ioport, size
        self._check_allowed(ioport, size)
        self._breakpoints.note_ioport(ioport, size)
        if opcode >= 0xE4:
            self._once(opcode & 2 != 0, ioport, size)
            return next_rip
        return self._string(exit, insn, opcode & 2 != 0, ioport, size, next_rip)

    def _check_allowed(self, ioport: int, size_bytes: int) -> None:
        """IOPL, else each port's bit in the TSS must be clear; two bytes are read, always (SDM 1 19.5.2)."""
        if self._segments.cpl <= self._state.iopl:
            return
        tr = self._state.tr
        if not tr.flags >> 8 & 8 or tr.limit < 0x67:
            raise general_protection()
        map_base = int.from_bytes(self._paging.read_virtual(tr.base + 0x66, 2), "little")
        at = map_base + ioport // 8
        if at + 1 > tr.limit:
            raise general_protection()
        bits = int.from_bytes(self._paging.read_virtual(tr.base + at, 2), "little") >> ioport % 8
        if bits & (1 << size_bytes) - 1:
            raise general_protection()

    def _once(self, is_out: bool, ioport: int, size: int) -> None:
        gpr, mask = self._vcpu.regs.gpr, (1 << 8 * size) - 1
        if is_out:
            self._ioports.write(ioport, size, gpr[RAX] & mask)
        else:
            value = self._ioports.read(ioport, size) & mask
            gpr[RAX] = value if size == 4 else gpr[RAX] & ~mask & (1 << 64) - 1 | value

    def _string(
        self, exit: Exit, insn: Instruction, is_out: bool, ioport: int, size: int, next_rip: int
    ) -> int:
        repeats = any(byte in REPEAT_PREFIXES for byte in insn.prefixes)
        gpr, index = self._vcpu.regs.gpr, RSI if is_out else RDI
        mask = (1 << 8 * insn.address_bytes) - 1
        step = -size if self._vcpu.rflags & RFLAGS_DF else size
        n = gpr[RCX] & mask if repeats else 1
        if not n:
            return next_rip
        linear = self._linear(insn, is_out, gpr[index] & mask)
        if is_out:
            data = self._operands.read_memory(linear, size)
            self._ioports.write(ioport, size, int.from_bytes(data, "little"))
        else:
            self._operands.check_writable(linear, size)
            value = self._ioports.read(ioport, size)
            self._operands.write_memory(linear, value.to_bytes(size, "little"))
        gpr[index] = _stepped(gpr[index], step, mask)
        if repeats:
            gpr[RCX] = _stepped(gpr[RCX], -1, mask)
        is_last = n == 1 and (exit.stepping or self._vcpu.v.debugging)  # else the engine looks at the count
        return next_rip if is_last or not repeats else exit.rip

    def _linear(self, insn: Instruction, is_out: bool, offset: int) -> int:
        """INS writes to ES:(E)DI, always; OUTS reads DS:(E)SI or another segment."""
        segment = ES
        if is_out:
            memory = next((o.memory for o in insn.operands if o.memory is not None), None)
            segment = operands.SEGMENTS[memory.segment] if memory and memory.segment else DS
        return operands.linear_address(self._vcpu, segment, offset, self._segments.in_64bit_code)


def _stepped(register: int, step: int, mask: int) -> int:
    """An index or count register after a step: 32-bit ones lose their upper half, 16-bit ones keep it."""
    stepped = register + step & mask
    return register & ~mask & (1 << 64) - 1 | stepped if mask == 0xFFFF else stepped
