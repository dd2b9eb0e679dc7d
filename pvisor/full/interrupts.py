# SPDX-License-Identifier: GPL-2.0-or-later
"""Events through the guest's IDT: gates checked, frames pushed, and IRET, as the CPU does (SDM 3A ch. 6).

Nested faults follow table 6-5: two contributory ones make #DF, and a fault while #DF is delivered is a
triple fault, which shuts the CPU down. Twin of para/interrupts.py.
"""

from __future__ import annotations

from typing import Protocol

from pvisor.cpu.exits import VECTOR_NAMES, describe_page_fault
from pvisor.cpu.shim import lib
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import CS, RSP, SS, Segment
from pvisor.errors import DomainCrash
from pvisor.full.paging import ShadowPaging
from pvisor.full.segments import DEFAULT_BIG, LONG, Descriptor, Segmentation
from pvisor.full.state import (
    DF,
    GP,
    NP,
    PF,
    RFLAGS_IF,
    RFLAGS_IOPL,
    RFLAGS_NT,
    RFLAGS_RF,
    RFLAGS_TF,
    RFLAGS_VM,
    TS,
    CpuState,
    GuestFault,
    general_protection,
    is_long,
)
from pvisor.full.walk import USER_WRITE, WRITE

CONTRIBUTORY = frozenset((0, 10, 11, 12, 13))
WITH_ERROR_CODE = frozenset((8, 10, 11, 12, 13, 14, 17))
WITH_SELECTOR = frozenset((10, 11, 12, 13))
NMI = 2
TASK_GATE, INTERRUPT_GATE_16, TRAP_GATE_16, INTERRUPT_GATE, TRAP_GATE = 5, 6, 7, 14, 15
LONG_GATES = frozenset((INTERRUPT_GATE, TRAP_GATE))
GATES = LONG_GATES | {TASK_GATE, INTERRUPT_GATE_16, TRAP_GATE_16}
"""Types of gates in an IDT (SDM 3A table 3-2)."""
MAX_FAULTS_WITHOUT_PROGRESS = 10_000
U64_MAX = (1 << 64) - 1
EXT = 1
"""Error code bit: the event came from outside the program."""
FLAGS_KEPT = 0x3E_7FD5
"""Bits of RFLAGS that IRET can set: all but the reserved ones, and RF, which `resume` sets."""


class TaskGates(Protocol):
    """Who switches tasks (full/tasks.py)."""

    def event(self, selector: int, return_rip: int, error_code: int | None, n_retiring: int) -> None:
        """An event by a task gate to the TSS of this selector. Raises GuestFault."""


class Interrupts:
    """Event delivery for one vCPU. `tasks` is set by whoever makes both."""

    def __init__(
        self, vcpu: UnicornVcpu, state: CpuState, paging: ShadowPaging, segments: Segmentation
    ) -> None:
        self._vcpu = vcpu
        self._state = state
        self._paging = paging
        self._segments = segments
        self.tasks: TaskGates

    @property
    def rflags(self) -> int:
        """RFLAGS as the guest sees it: its own IF and IOPL in place of the real ones."""
        flags = self._vcpu.rflags & ~(RFLAGS_IF | RFLAGS_IOPL)
        if self._vcpu.v.rf_insns == self._vcpu.v.insns:
            flags |= RFLAGS_RF
        return flags | (RFLAGS_IF if self._vcpu.virtual_if else 0) | self._state.iopl << 12

    @rflags.setter
    def rflags(self, value: int) -> None:
        self._vcpu.virtual_if = bool(value & RFLAGS_IF)
        self._state.iopl = value >> 12 & 3
        self._vcpu.rflags = value & ~RFLAGS_IOPL & FLAGS_KEPT | 2

    def resume(self, n_retiring: int) -> None:
        """RFLAGS.RF is set: no breakpoint at the next instruction. `n_retiring`: 1 if this one retires."""
        self._vcpu.v.rf_insns = self._vcpu.v.insns + n_retiring

    def end_resume(self) -> None:
        """An instruction has run, and is about to retire: RFLAGS.RF is cleared, unless it has set RF itself.

        Then it is in the frame of a trap behind it (SDM 3B 18.3.1.1).
        """
        v = self._vcpu.v
        v.rf_insns = v.insns if v.rf_insns == v.insns + 1 else U64_MAX

    def raise_fault(self, fault: GuestFault, return_rip: int) -> None:
        """Deliver an exception. Raises DomainCrash on a triple fault, naming the whole chain."""
        self._check_progress(fault)
        return_rip = return_rip if fault.at is None else fault.at
        chain: list[str] = []
        current = fault
        while True:
            chain.append(_name(current))
            if current.cr2 is not None:
                self._state.cr2 = current.cr2
            error = current.error_code if current.error_code is not None else 0
            try:
                self._deliver(
                    current.vector,
                    error if current.vector in WITH_ERROR_CODE else None,
                    return_rip,
                    soft=False,
                )
                return
            except GuestFault as first:
                nested = _from_outside(first)
                chain.append(_name(nested))
                return_rip = return_rip if nested.at is None else nested.at
                if nested.cr2 is not None:
                    self._state.cr2 = nested.cr2
                if current.vector == DF:
                    raise DomainCrash(self._triple_fault(chain)) from None
                if _doubles(current.vector, nested.vector):
                    current = GuestFault(DF, 0)
                else:
                    chain.pop()
                    current = nested

    def _check_progress(self, fault: GuestFault) -> None:
        """A handler that faults at its first instruction would fault for ever, and no budget would end it."""
        state, now = self._state, self._vcpu.n_instructions
        state.n_faults_there = state.n_faults_there + 1 if now == state.faults_at else 0
        state.faults_at = now
        if state.n_faults_there == MAX_FAULTS_WITHOUT_PROGRESS:
            raise DomainCrash(f"exceptions without end: {_name(fault)}, and no instruction between them")

    def _triple_fault(self, chain: list[str]) -> str:
        idtr = self._state.idtr
        return f"triple fault: {', then '.join(chain)}; IDT at {idtr.base:#x}, limit {idtr.limit:#x}"

    def software_interrupt(self, vector: int, rip: int, next_rip: int) -> bool:
        """INT n, INT3: through the gate, to return behind it; a fault on the way names the INT itself.

        True when the instruction has retired, False when it faulted.
        """
        try:
            self._deliver(vector, None, next_rip, soft=True)
        except GuestFault as fault:
            self.raise_fault(fault, rip)
            return False
        return True

    def nmi(self, rip: int) -> None:
        """The pending NMI: by vector 2, whatever IF says; no other one until IRET (SDM 3A 6.7.1)."""
        self._vcpu.v.nmi_pending, self._vcpu.v.nmi_blocked = 0, 1
        self.external_interrupt(NMI, rip)

    def external_interrupt(self, vector: int, rip: int) -> None:
        """An interrupt from a device, at a block boundary with IF set."""
        if not lib.pv_deliver_interrupt(self._vcpu.v, vector):
            return
        try:
            self._deliver(vector, None, rip, soft=False)
        except GuestFault as fault:
            self.raise_fault(_from_outside(fault), rip)

    # --- delivery

    def _deliver(self, vector: int, error_code: int | None, return_rip: int, *, soft: bool) -> None:
        long = is_long(self._state)
        gate = self._gate(vector, 16 if long else 8, soft)
        selector = int.from_bytes(gate[2:4], "little")
        kind = gate[5] & 0xF
        if kind == TASK_GATE:
            self.tasks.event(selector, return_rip, error_code, int(soft))
            return
        width = 8 if long else 4 if kind & 8 else 2
        target = int.from_bytes(gate[0:2] + gate[6 : {8: 12, 4: 8, 2: 6}[width]], "little")
        descriptor, cpl = self._target(selector)
        if long:
            if not descriptor.flags & LONG:
                raise general_protection(selector)
            stack, rsp = self._long_stack(gate[4] & 7, cpl)
        else:
            stack, rsp = self.protected_stack(cpl)
        self._segments.check_target(descriptor, target)
        self._segments.set_accessed(descriptor)
        rflags = self.rflags & ~RFLAGS_RF if soft else self.rflags  # INT n has run: RF was for it
        words = [return_rip, self._selector(CS), rflags]
        if long or stack is not None:
            words += [self._vcpu.regs.gpr[RSP], self._selector(SS)]
        if error_code is not None:
            words.insert(0, error_code)
        self._push_frame(words, rsp, stack, width, cpl)
        self._segments.load_code(selector, descriptor, cpl)
        if stack is not None:
            self._vcpu.set_segment(SS, stack)
        self._enter(gate, target, rflags)

    def _gate(self, vector: int, n_bytes: int, soft: bool) -> bytes:
        """The gate, its type, privilege and presence checked (SDM 3A 6.12, 6.14)."""
        selector_code = vector * 8 + 2 + (0 if soft else EXT)
        if vector * n_bytes + n_bytes - 1 > self._state.idtr.limit:
            raise GuestFault(GP, selector_code)
        gate = self._paging.read_virtual(self._state.idtr.base + vector * n_bytes, n_bytes)
        kind = gate[5] & 0x1F
        if kind not in (LONG_GATES if is_long(self._state) else GATES):
            raise GuestFault(GP, selector_code)
        if soft and gate[5] >> 5 & 3 < self._segments.cpl:
            raise GuestFault(GP, selector_code)
        if not gate[5] & 0x80:
            raise GuestFault(NP, selector_code)
        return gate

    def _target(self, selector: int) -> tuple[Descriptor, int]:
        """(code segment of a gate, virtual CPL in it). Raises GuestFault."""
        if not selector & 0xFFFC:
            raise general_protection(0)
        descriptor = self._segments.descriptor(selector)
        cpl = self._segments.cpl
        if descriptor.is_code and descriptor.dpl > cpl:
            raise general_protection(selector)
        self._segments.check_code(selector, descriptor)
        return descriptor, cpl if descriptor.is_conforming else descriptor.dpl

    def _long_stack(self, ist: int, cpl: int) -> tuple[Segment | None, int]:
        """(SS if it changes, stack pointer) in IA-32e mode: of IST or TSS, or as it was (SDM 3A 6.14)."""
        rsp, stack = self._vcpu.regs.gpr[RSP], None
        changes = cpl < self._segments.cpl
        if ist or changes:
            rsp = self.tss_word(0x1C + 8 * ist if ist else 4 + 8 * cpl, 8)
            if rsp >> 47 not in (0, 0x1FFFF):
                raise GuestFault(12, 0)
        if changes:
            stack = self._segments.check_stack(cpl, cpl, True)  # a null selector
        return stack, rsp & ~15

    def protected_stack(self, cpl: int) -> tuple[Segment | None, int]:
        """The same in protected mode: of the TSS, 32-bit or 16-bit (SDM 3A 6.12.1)."""
        if cpl == self._segments.cpl:
            return None, self._vcpu.regs.gpr[RSP]
        if self._state.tr.flags >> 8 & 8:
            esp, selector = self.tss_word(4 + 8 * cpl, 4), self.tss_word(8 + 8 * cpl, 2)
        else:
            esp, selector = self.tss_word(2 + 4 * cpl, 2), self.tss_word(4 + 4 * cpl, 2)
        return self._segments.check_stack(selector, cpl, False, TS), esp

    def tss_word(self, offset: int, n_bytes: int) -> int:
        """A stack pointer or selector of the TSS. Raises GuestFault (#TS) beyond its limit (SDM 3A 7.2)."""
        tr = self._state.tr
        if offset + n_bytes - 1 > tr.limit:
            raise GuestFault(TS, tr.selector & 0xFFFC)
        return int.from_bytes(self._paging.read_virtual(tr.base + offset, n_bytes), "little")

    def _push_frame(self, words: list[int], rsp: int, stack: Segment | None, width: int, cpl: int) -> None:
        """Write the frame, and move the stack pointer."""
        mask = (1 << 8 * width) - 1
        frame = b"".join((word & mask).to_bytes(width, "little") for word in words)
        access = USER_WRITE if cpl == 3 else WRITE
        base, sp_mask = 0, U64_MAX
        if width < 8:
            segment = stack or self._vcpu.segment(SS)
            base = segment.base
            sp_mask = 0xFFFF_FFFF if segment.flags & DEFAULT_BIG else 0xFFFF
        bottom = rsp - len(frame) & sp_mask
        at = bottom + base & (U64_MAX if width == 8 else 0xFFFF_FFFF)
        self._paging.push_virtual(at, frame, width, access)
        gpr = self._vcpu.regs.gpr
        gpr[RSP] = bottom if sp_mask != 0xFFFF else gpr[RSP] & ~0xFFFF | bottom

    def _enter(self, gate: bytes, target: int, rflags: int) -> None:
        cleared = RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM
        if gate[5] & 0xF in (INTERRUPT_GATE, INTERRUPT_GATE_16):
            cleared |= RFLAGS_IF
        self.rflags = rflags & ~cleared
        self._vcpu.regs.rip = target

    def _selector(self, index: int) -> int:
        return self._vcpu.segment(index).selector


def _from_outside(fault: GuestFault) -> GuestFault:
    """A fault met while an event was delivered: EXT is set in an error code that names a selector."""
    if fault.vector in WITH_SELECTOR and fault.error_code is not None:
        fault.error_code |= EXT
    return fault


def _doubles(first: int, second: int) -> bool:
    """Do these two make a double fault? (SDM 3A table 6-5)"""
    if first in CONTRIBUTORY:
        return second in CONTRIBUTORY
    return first == PF and (second == PF or second in CONTRIBUTORY)


def _name(fault: GuestFault) -> str:
    name = VECTOR_NAMES.get(fault.vector, f"vector {fault.vector}")
    if fault.vector == PF and fault.cr2 is not None:
        return f"{name} ({describe_page_fault(fault.cr2, fault.error_code or 0)})"
    return f"{name}({fault.error_code:#x})" if fault.error_code else name
