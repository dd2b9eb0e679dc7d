# SPDX-License-Identifier: GPL-2.0-or-later
"""Exceptions, INT n and upcalls through the guest's trap table: one frame for all, on the kernel's stack.

Where the table has no handler, or the frame no place, the domain ends, and the reason says why. Twin of
full/interrupts.py, which delivers through the guest's IDT.
"""

from __future__ import annotations

import struct

from pvisor.abi.areas import cpu as rows
from pvisor.abi.layout import sizeof
from pvisor.cpu.exits import VECTOR_NAMES, ExitReason, describe_page_fault
from pvisor.cpu.vcpu import CS, RSP, SS, Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.domain.outcome import RESUME, Outcome
from pvisor.errors import DomainCrash
from pvisor.para.hypercalls import Served
from pvisor.para.refusal import copy_in, invalid
from pvisor.para.segments import Segmentation, enter_kernel_segments
from pvisor.para.shared import SharedPage
from pvisor.para.state import (
    MASK,
    N_TRAPS,
    RFLAGS_AT_ENTRY,
    RFLAGS_IF,
    RFLAGS_KEPT,
    USER_INT,
    AddressSpaces,
    CpuStates,
    in_user_code,
    may_be_entered,
)

DB, UD, GP, PF = 1, 6, 13, 14
WITH_ERROR_CODE = frozenset((8, 10, 11, 12, 13, 14, 17))
FROM_IDT = 2
"""Error code bit: a vector is meant, not a selector (SDM 3A 6.13)."""

MAX_FAULTS_WITHOUT_PROGRESS = 10_000
U64_MAX = (1 << 64) - 1
_ENTRY = struct.Struct("<QBBHI")
_FRAME = struct.Struct("<6Q")
_RDPMC, _INT1 = b"\x0f\x33", 0xF1

_INSTEAD = {
    ExitReason.HLT: "HLT is privileged: call BLOCK instead",
    ExitReason.CLI: "CLI is privileged: set upcall_mask in the shared page instead",
    ExitReason.STI: "STI is privileged: clear upcall_mask in the shared page, or call IRET, instead",
    ExitReason.MOV_CR: "control registers are the hypervisor's: call ROOT_SET for CR3, FPU_TS for CR0.TS; "
    "CR2 is in the shared page",
    ExitReason.MOV_DR: "debug registers are the hypervisor's",
    ExitReason.CLTS: "control registers are the hypervisor's: call FPU_TS instead",
    ExitReason.LMSW: "control registers are the hypervisor's: call FPU_TS for CR0.TS",
    ExitReason.DESCRIPTOR_TABLE: "descriptor tables are the hypervisor's: call TRAP_TABLE, DESCRIPTOR_SET or "
    "STACK_SET instead",
    ExitReason.RDMSR: "RDMSR is privileged: there is no call for MSRs",
    ExitReason.WRMSR: "WRMSR is privileged: call SEGMENT_BASE_SET or SYSCALL_SET for what MSRs would hold",
    ExitReason.INVLPG: "the TLB of the page tables is the hypervisor's to flush: call TLB_FLUSH instead",
    ExitReason.CACHE: "WBINVD and INVD are privileged: leave them out",
    ExitReason.XSETBV: "XSETBV is privileged: the start state has XCR0 set",
    ExitReason.SWAPGS: "SWAPGS is privileged: IRET and the entries out of user code do it",
    ExitReason.SEGMENT_LOAD: "a segment load of a selector that the descriptor table does not have",
    ExitReason.FAR_TRANSFER: "a far transfer to a selector that the descriptor table does not have",
    ExitReason.IRET: "IRET to a selector or flags that a paravirtual guest does not have",
}

_NO_SYSTEM_CALLS = frozenset((ExitReason.SYSENTER, ExitReason.SYSRET, ExitReason.SYSEXIT))


class Interrupts:
    """Trap table, upcalls and the entries into the kernel of a domain's vCPUs."""

    def __init__(
        self, states: CpuStates, shared: SharedPage, segments: Segmentation, spaces: AddressSpaces
    ) -> None:
        self._states = states
        self._spaces = spaces
        self._shared = shared
        self._segments = segments
        self.served = Served(
            answers={
                rows.TRAP_TABLE: self.trap_table,
                rows.UPCALL_SET: self.upcall_set,
                rows.STACK_SET: self.stack_set,
            }
        )

    # --- the calls

    def trap_table(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """TRAP_TABLE(entries, n_entries): 0."""
        n_entries = exit.args[1]
        if n_entries > N_TRAPS:
            raise invalid()
        if not n_entries:
            return 0
        data = copy_in(domain, vcpu, exit.args[0], n_entries * sizeof("pv_trap_entry"))
        entries = list(_ENTRY.iter_unpack(data))
        for handler, _, flags, reserved0, reserved1 in entries:
            if reserved0 or reserved1 or flags & ~(USER_INT | MASK) or not may_be_entered(handler):
                raise invalid()
        traps = self._states[vcpu.vcpu_id].traps
        for handler, vector, flags, _, _ in entries:
            traps[vector].handler, traps[vector].flags = handler, flags
        return 0

    def upcall_set(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """UPCALL_SET(entry): 0; the upcall comes if it is due."""
        if not may_be_entered(exit.args[0]):
            raise invalid()
        self._states[vcpu.vcpu_id].upcall_entry = exit.args[0]
        vcpu.event_pending = self.is_due(vcpu)
        return 0

    def stack_set(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """STACK_SET(rsp): 0."""
        if exit.args[0] & 15 or not may_be_entered(exit.args[0]):
            raise invalid()
        self._states[vcpu.vcpu_id].kernel_stack = exit.args[0]
        return 0

    # --- what happens

    def exception(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """Any exception but that of INT n."""
        vector, error_code = exit.vector, exit.error_code
        if exit.reason == ExitReason.SYSENTER or exit.reason == ExitReason.SYSCALL:
            vector = UD
        elif exit.reason == ExitReason.INVALID_OPCODE and exit.insn[0] == _INT1 and exit.n_insn:
            return self._int1(domain, vcpu, exit)
        elif exit.reason == ExitReason.INVALID_OPCODE and bytes(exit.insn[0:2]) == _RDPMC:
            vector, error_code = GP, 0
        self._raise(domain, vcpu, exit, vector, error_code if vector in WITH_ERROR_CODE else 0)
        return RESUME

    def soft_int(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """INT n, INT3, INTO: user code needs leave, as from the DPL of a gate."""
        trap = self._states[vcpu.vcpu_id].traps[exit.vector]
        if not trap.handler or (in_user_code(vcpu) and not trap.flags & USER_INT):
            self._raise(domain, vcpu, exit, GP, exit.vector * 8 + FROM_IDT)
            return RESUME
        exit.retired = 1
        self.enter(domain, vcpu, trap.handler, trap.flags, 0, exit.next_rip)
        return RESUME

    def event_window(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """An event is pending, or was: the upcall, unless the guest has masked it meanwhile."""
        vcpu.event_pending = False
        if self.is_due(vcpu):
            self.enter(domain, vcpu, self._states[vcpu.vcpu_id].upcall_entry, MASK, 0, exit.rip)
        return RESUME

    def notify(self, vcpu: Vcpu) -> None:
        """`Domain.notify`: an upcall waits. While the guest masks them it finds the event when it looks."""
        if not self._shared.upcall_masked(vcpu.vcpu_id):
            vcpu.event_pending = True

    def is_due(self, vcpu: Vcpu) -> bool:
        """Would the upcall come now?"""
        vcpu_id, shared = vcpu.vcpu_id, self._shared
        is_set = bool(self._states[vcpu_id].upcall_entry)
        return is_set and shared.upcall_pending(vcpu_id) and not shared.upcall_masked(vcpu_id)

    def _int1(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
        """INT1, which the engine does not know: #DB behind it, whoever runs it (SDM 2A, INT n)."""
        exit.retired = 1
        self._raise(domain, vcpu, exit, DB, 0, exit.rip + 1)
        return RESUME

    # --- the way into the kernel

    def _raise(
        self, domain: Domain, vcpu: Vcpu, exit: Exit, vector: int, error_code: int, rip: int | None = None
    ) -> None:
        """An exception to its handler. Raises DomainCrash where there is none."""
        state = self._states[vcpu.vcpu_id]
        now = vcpu.n_instructions
        n_there = state.n_faults_there + 1 if now == state.faults_at else 0
        trap = state.traps[vector]
        if not trap.handler:
            raise DomainCrash(_of_user_code(exit) if in_user_code(vcpu) else describe(exit))
        if n_there == MAX_FAULTS_WITHOUT_PROGRESS:
            raise DomainCrash(f"exceptions without end: {describe(exit)}, and no instruction between them")
        state.n_faults_there, state.faults_at = n_there, now
        if vector == PF:
            self._shared.set_cr2(vcpu.vcpu_id, exit.cr2)
        try:
            self.enter(domain, vcpu, trap.handler, trap.flags, error_code, exit.rip if rip is None else rip)
        except DomainCrash as crash:
            raise DomainCrash(f"{describe(exit)}, and {crash}") from None

    def rflags(self, vcpu: Vcpu) -> int:
        """RFLAGS as a frame shows them: IF says whether upcalls are let in."""
        flags = vcpu.rflags & RFLAGS_KEPT | 2
        return flags if self._shared.upcall_masked(vcpu.vcpu_id) else flags | RFLAGS_IF

    def enter(self, domain: Domain, vcpu: Vcpu, entry: int, flags: int, error_code: int, rip: int) -> None:
        """The kernel is entered at `entry`, with a frame (struct pv_trap_stack). Raises DomainCrash."""
        state, gpr = self._states[vcpu.vcpu_id], vcpu.regs.gpr
        cs, ss = vcpu.segment(CS).selector, vcpu.segment(SS).selector
        from_user = cs & 3 == 3
        if from_user and not state.kernel_stack:
            raise DomainCrash("user code has to leave for the kernel, and STACK_SET has given no stack")
        top = state.kernel_stack if from_user else gpr[RSP] & ~15
        bottom = top - _FRAME.size & U64_MAX
        frame = _FRAME.pack(error_code, rip, cs, self.rflags(vcpu), gpr[RSP], ss)
        if from_user and state.in_user:
            self._leave_user(vcpu)
        if not domain.pointers.copy_out(vcpu, bottom, frame):
            raise DomainCrash(f"the kernel's stack takes no frame: {bottom:#x} is not writable")
        enter_kernel_segments(vcpu)
        gpr[RSP], vcpu.regs.rip, vcpu.rflags = bottom, entry, RFLAGS_AT_ENTRY
        if flags & MASK:
            self._shared.set_upcall_masked(vcpu.vcpu_id, True)

    def _leave_user(self, vcpu: Vcpu) -> None:
        """What IRET to user code has done is undone."""
        state = self._states[vcpu.vcpu_id]
        state.in_user = 0
        self._segments.exchange_gs(vcpu)
        self._spaces.enter_kernel(vcpu)


def exception(domain: Domain, vcpu: Vcpu, exit: Exit) -> Outcome:
    """An exception where there is no trap table: the domain crashes, with a reason in words."""
    raise DomainCrash(describe(exit))


def _of_user_code(exit: Exit) -> str:
    if exit.reason == ExitReason.SYSCALL:
        return "user code: #UD: SYSCALL, and SYSCALL_SET has given no entry for it"
    return f"user code: {describe(exit)}"


def describe(exit: Exit) -> str:
    """What happened, and what to do instead, in one line."""
    reason = ExitReason(exit.reason)
    if reason is ExitReason.PAGE_FAULT:
        return f"page fault: {describe_page_fault(exit.cr2, exit.error_code)}"
    if reason is ExitReason.SYSCALL:
        return "#UD: SYSCALL outside the hypercall page is no hypercall; `call hypercall_page + 32 * number`"
    if reason in _NO_SYSTEM_CALLS:
        return f"#UD: {reason.name} is not there: user code asks by SYSCALL, the kernel returns by IRET"
    if reason is ExitReason.SOFT_INT:
        return f"#GP: INT {exit.vector:#04x} has no handler that may be called"
    if reason is ExitReason.INVALID_OPCODE:
        if bytes(exit.insn[0:3]) == b"\x0f\x01\xc1":
            return "#UD: VMCALL outside the hypercall page, and the feature RAW_VMCALL is not offered"
        return f"#UD: invalid opcode {bytes(exit.insn[0 : min(exit.n_insn, 8)]).hex(' ')}"
    if reason in _INSTEAD:
        return f"#GP: {_INSTEAD[reason]}"
    name = VECTOR_NAMES.get(exit.vector, f"exception {exit.vector}")
    return f"{name} (error code {exit.error_code:#x}): the trap table has no handler"
