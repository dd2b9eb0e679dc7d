# SPDX-License-Identifier: GPL-2.0-or-later
"""IRET by hypercall: back to where the kernel was entered, or anywhere else at CPL 1 or 3.

Twin of full/transfers.py, where IRET and the far transfers of a PC trap. Here those are the CPU's own: no
descriptor leads to CPL 0.
"""

from __future__ import annotations

import struct

from pvisor.abi.areas import cpu as rows
from pvisor.cpu.vcpu import CS, R11, RAX, RCX, RDI, RSP, SS, Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.domain.outcome import RESUME, Outcome
from pvisor.para.hypercalls import Served
from pvisor.para.interrupts import Interrupts
from pvisor.para.refusal import copy_in, invalid
from pvisor.para.segments import Segmentation, clear_kernel_data
from pvisor.para.shared import SharedPage
from pvisor.para.state import (
    RFLAGS_IF,
    RFLAGS_IOPL,
    RFLAGS_KEPT,
    RFLAGS_NT,
    RFLAGS_VM,
    AddressSpaces,
    CpuStates,
)

_FRAME = struct.Struct("<9Q")
_REFUSED = RFLAGS_VM | RFLAGS_NT | RFLAGS_IOPL


class Transfers:
    """The way out of the kernel of a domain's vCPUs."""

    def __init__(
        self,
        states: CpuStates,
        shared: SharedPage,
        segments: Segmentation,
        spaces: AddressSpaces,
        interrupts: Interrupts,
    ) -> None:
        self._states = states
        self._spaces = spaces
        self._shared = shared
        self._segments = segments
        self._interrupts = interrupts
        self.served = Served(decides={rows.IRET: self.iret})

    def iret(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """IRET(frame): the registers are those of the frame. Raises GuestError, with nothing changed."""
        data = copy_in(domain, vcpu, exit.args[0], _FRAME.size)
        rax, rcx, r11, rdi, rip, cs, rflags, rsp, ss = _FRAME.unpack(data)
        if cs > 0xFFFF or ss > 0xFFFF or rflags & _REFUSED:
            raise invalid()
        code = self._segments.code_segment(vcpu, cs, rip)
        stack = self._segments.stack_segment(vcpu, ss, cs & 3)
        gpr = vcpu.regs.gpr
        gpr[RAX], gpr[RCX], gpr[R11], gpr[RDI], gpr[RSP] = rax, rcx, r11, rdi, rsp
        vcpu.regs.rip = rip
        vcpu.set_segment(CS, code)
        vcpu.set_segment(SS, stack)
        vcpu.rflags = rflags & RFLAGS_KEPT | 2
        if cs & 3 == 3:
            self._enter_user(vcpu)
        self._shared.set_upcall_masked(vcpu.vcpu_id, not rflags & RFLAGS_IF)
        vcpu.event_pending = self._interrupts.is_due(vcpu)
        exit.result, exit.is_answered = 0, 1
        return RESUME

    def _enter_user(self, vcpu: Vcpu) -> None:
        clear_kernel_data(vcpu)
        self._segments.exchange_gs(vcpu)
        self._spaces.enter_user(vcpu)
        self._states[vcpu.vcpu_id].in_user = 1
