# SPDX-License-Identifier: GPL-2.0-or-later
"""SSE moves between XMM registers and device memory: memcpy and screen drivers use them.

16 bytes are two accesses of 8. This room has no twin: a paravirtual guest has no device memory.
"""

from __future__ import annotations

from typing import Protocol

from pvisor.full.operands import Operands, UnsupportedOperandError
from pvisor.full.state import general_protection

ALIGNED = frozenset(("movaps", "movapd", "movdqa", "movntps", "movntpd", "movntdq", "movntdqa"))
UNALIGNED = frozenset(("movups", "movupd", "movdqu", "lddqu"))
LOW_PART = frozenset(("movd", "movq", "movss", "movsd"))
"""A load clears the rest of the register, a store takes the low part (SDM 2B)."""


class VectorRegisters(Protocol):
    """XMM0 to XMM15, as numbers of 128 bits."""

    def vector(self, index: int) -> int:
        """A register."""

    def set_vector(self, index: int, value: int) -> None:
        """Set a register; what lies above its 128 bits stays."""


class VectorMoves:
    """The moves of one vCPU."""

    def __init__(self, registers: VectorRegisters) -> None:
        self._registers = registers

    def run(self, run: Operands) -> bool:
        """Do the instruction, if it is one of these. Raises GuestFault."""
        name = run.insn.name
        if name not in ALIGNED | UNALIGNED | LOW_PART or run.insn.opcode[0] != 0x0F:
            return False
        memory = 0 if run.is_memory(0) else 1
        register = run.insn.operands[1 - memory].register
        if not register.startswith("xmm"):
            raise UnsupportedOperandError
        index, address, size = int(register[3:]), run.address(memory), run.size_bytes(memory)
        if name in ALIGNED and address % 16:
            raise general_protection()
        if memory == 0:
            run.space.write(address, size, self._registers.vector(index))
        else:
            self._registers.set_vector(index, run.space.read(address, size))
        return True
