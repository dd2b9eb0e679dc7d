# SPDX-License-Identifier: GPL-2.0-or-later
"""SYSCALL of user code: the kernel is entered with the frame of a trap.

Twin of full/syscall.py, where MSRs of the guest say what SYSCALL does.
"""

from __future__ import annotations

from pvisor.abi.areas import cpu as rows
from pvisor.cpu.vcpu import CS, R11, RCX, Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.domain.outcome import RESUME, Outcome
from pvisor.para.hypercalls import Served
from pvisor.para.interrupts import Interrupts
from pvisor.para.refusal import invalid
from pvisor.para.segments import LONG
from pvisor.para.state import MASK, CpuStates, in_user_code, may_be_entered


class SystemCalls:
    """The system-call entry of a domain's vCPUs."""

    def __init__(self, states: CpuStates, interrupts: Interrupts) -> None:
        self._states = states
        self._interrupts = interrupts
        self.served = Served(answers={rows.SYSCALL_SET: self.syscall_set})

    def syscall_set(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """SYSCALL_SET(entry, flags): 0."""
        entry, flags = exit.args[0], exit.args[1]
        if not may_be_entered(entry) or flags & ~MASK:
            raise invalid()
        state = self._states[vcpu.vcpu_id]
        state.syscall_entry, state.syscall_flags = entry, flags
        return 0

    def syscall(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """SYSCALL outside the hypercall page: user code asks its kernel, or it is #UD."""
        state, interrupts = self._states[vcpu.vcpu_id], self._interrupts
        if not state.syscall_entry or not in_user_code(vcpu) or not vcpu.segment(CS).flags & LONG:
            return interrupts.exception(domain, vcpu, exit)
        gpr, rflags = vcpu.regs.gpr, interrupts.rflags(vcpu)
        interrupts.enter(domain, vcpu, state.syscall_entry, state.syscall_flags, 0, exit.next_rip)
        gpr[RCX], gpr[R11] = exit.next_rip, rflags
        exit.retired = 1
        return RESUME
