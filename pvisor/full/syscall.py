# SPDX-License-Identifier: GPL-2.0-or-later
"""SYSCALL, SYSRET, SYSENTER, SYSEXIT: the quick ways between ring 3 and ring 0 (SDM 2B; 3A 5.8.7, 5.8.8).

The engine hands SYSCALL and SYSENTER over; SYSRET and SYSEXIT trap, because the guest's ring 0 is ring 1.
Native twins: native/syscall.c. Twin of para/syscall.py.
"""

from __future__ import annotations

from pvisor.cpu.decode import Instruction
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import CS, R11, RCX, RDX, RSP, SS, Exit
from pvisor.full.interrupts import Interrupts
from pvisor.full.segments import FLAT_CODE, FLAT_CODE64, FLAT_DATA, Segmentation
from pvisor.full.state import (
    EFER_SCE,
    RFLAGS_IF,
    RFLAGS_RF,
    RFLAGS_VM,
    UD,
    CpuState,
    GuestFault,
    general_protection,
    is_canonical,
    is_long,
)

U32_MAX = 0xFFFF_FFFF
SYSRET_FLAGS = 0x3C_7FD7


class SystemCalls:
    """The system-call instructions of one vCPU. Each sets RIP itself. Raises GuestFault."""

    def __init__(
        self, vcpu: UnicornVcpu, state: CpuState, segments: Segmentation, interrupts: Interrupts
    ) -> None:
        self._vcpu = vcpu
        self._state = state
        self._segments = segments
        self._interrupts = interrupts

    def syscall(self, exit: Exit) -> None:
        """SYSCALL: 64-bit code only, as Intel's CPUs have it."""
        state, regs = self._state, self._vcpu.regs
        if not state.efer & EFER_SCE or not self._segments.in_64bit_code:
            raise GuestFault(UD)
        rflags = self._interrupts.rflags
        regs.gpr[RCX], regs.gpr[R11] = exit.next_rip, rflags & ~RFLAGS_RF
        selector = state.star >> 32 & 0xFFFC
        self._segments.load_flat(CS, selector, FLAT_CODE64, 0)
        self._segments.load_flat(SS, selector + 8, FLAT_DATA, 0)
        self._interrupts.rflags = rflags & ~(state.fmask | RFLAGS_RF)
        regs.rip = state.lstar

    def sysret(self, exit: Exit, insn: Instruction, next_rip: int) -> None:
        """SYSRET: back to 64-bit user code with REX.W, else to compatibility mode."""
        state, regs = self._state, self._vcpu.regs
        if not state.efer & EFER_SCE or not self._segments.in_64bit_code:
            raise GuestFault(UD)
        if self._segments.cpl:
            raise general_protection()
        selector, target = state.star >> 48, regs.gpr[RCX]
        if insn.rex_w:
            if not is_canonical(target):
                raise general_protection()
            self._segments.load_flat(CS, selector + 16, FLAT_CODE64, 3)
        else:
            target &= U32_MAX
            self._segments.load_flat(CS, selector, FLAT_CODE, 3)
        self._segments.load_flat(SS, selector + 8, FLAT_DATA, 3)
        self._interrupts.rflags = regs.gpr[R11] & SYSRET_FLAGS | 2
        regs.rip = target

    def sysenter(self, exit: Exit) -> None:
        """SYSENTER: to ring 0 with the stack and the entry of its MSRs."""
        state, regs = self._state, self._vcpu.regs
        if not state.sysenter_cs & 0xFFFC:
            raise general_protection()
        long = is_long(state)
        selector = state.sysenter_cs & 0xFFFC
        self._segments.load_flat(CS, selector, FLAT_CODE64 if long else FLAT_CODE, 0)
        self._segments.load_flat(SS, selector + 8, FLAT_DATA, 0)
        self._interrupts.rflags &= ~(RFLAGS_IF | RFLAGS_VM | RFLAGS_RF)
        mask = (1 << 64) - 1 if long else U32_MAX
        regs.gpr[RSP], regs.rip = state.sysenter_esp & mask, state.sysenter_eip & mask

    def sysexit(self, exit: Exit, insn: Instruction, next_rip: int) -> None:
        """SYSEXIT: to ring 3 at RDX with stack RCX."""
        state, regs = self._state, self._vcpu.regs
        if not state.sysenter_cs & 0xFFFC:
            raise general_protection()
        selector = state.sysenter_cs & 0xFFFC
        target, rsp = regs.gpr[RDX], regs.gpr[RCX]
        if insn.rex_w and is_long(state):
            if not is_canonical(target) or not is_canonical(rsp):
                raise general_protection()
            self._segments.load_flat(CS, selector + 32, FLAT_CODE64, 3)
            self._segments.load_flat(SS, selector + 40, FLAT_DATA, 3)
        else:
            target, rsp = target & U32_MAX, rsp & U32_MAX
            self._segments.load_flat(CS, selector + 16, FLAT_CODE, 3)
            self._segments.load_flat(SS, selector + 24, FLAT_DATA, 3)
        regs.gpr[RSP], regs.rip = rsp, target
