# SPDX-License-Identifier: GPL-2.0-or-later
"""Events through the guest's IDT: gates checked, frames pushed, and IRET, as the CPU does (SDM 3A ch. 6).

Nested faults follow table 6-5: two contributory ones make #DF, and a fault while #DF is delivered is a
triple fault, which shuts the CPU down. Twin of para/interrupts.py.
"""

from __future__ import annotations

from pvisor.cpu.exits import VECTOR_NAMES, describe_page_fault
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import CS, RSP, SS
from pvisor.errors import DomainCrash
from pvisor.full.paging import ShadowPaging
from pvisor.full.segments import LONG, Segmentation
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
)
from pvisor.full.walk import WRITE

CONTRIBUTORY = frozenset((0, 10, 11, 12, 13))
WITH_ERROR_CODE = frozenset((8, 10, 11, 12, 13, 14, 17))
WITH_SELECTOR = frozenset((10, 11, 12, 13))
INTERRUPT_GATE, TRAP_GATE = 14, 15
MAX_FAULTS_WITHOUT_PROGRESS = 10_000
U64_MAX = (1 << 64) - 1
EXT = 1
"""Error code bit: the event came from outside the program."""
FLAGS_KEPT = 0x3F_7FD5
"""Bits of RFLAGS that IRET can set (all but the reserved ones)."""


class Interrupts:
    """Event delivery for one vCPU."""

    def __init__(
        self, vcpu: UnicornVcpu, state: CpuState, paging: ShadowPaging, segments: Segmentation
    ) -> None:
        self._vcpu = vcpu
        self._state = state
        self._paging = paging
        self._segments = segments
        self._faults_at = -1
        self._n_faults_there = 0

    @property
    def rflags(self) -> int:
        """RFLAGS as the guest sees it: its own IF and IOPL in place of the real ones."""
        flags = self._vcpu.rflags & ~(RFLAGS_IF | RFLAGS_IOPL)
        return flags | (RFLAGS_IF if self._vcpu.virtual_if else 0) | self._state.iopl << 12

    @rflags.setter
    def rflags(self, value: int) -> None:
        self._vcpu.virtual_if = bool(value & RFLAGS_IF)
        self._state.iopl = value >> 12 & 3
        self._vcpu.rflags = value & ~RFLAGS_IOPL & FLAGS_KEPT | 2

    def raise_fault(self, fault: GuestFault, return_rip: int) -> None:
        """Deliver an exception. Raises DomainCrash on a triple fault, naming the whole chain."""
        self._check_progress(fault)
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
        now = self._vcpu.n_instructions
        self._n_faults_there = self._n_faults_there + 1 if now == self._faults_at else 0
        self._faults_at = now
        if self._n_faults_there == MAX_FAULTS_WITHOUT_PROGRESS:
            raise DomainCrash(f"exceptions without end: {_name(fault)}, and no instruction between them")

    def _triple_fault(self, chain: list[str]) -> str:
        idtr = self._state.idtr
        return f"triple fault: {', then '.join(chain)}; IDT at {idtr.base:#x}, limit {idtr.limit:#x}"

    def software_interrupt(self, vector: int, rip: int, next_rip: int) -> None:
        """INT n, INT3: through the gate, to return behind it; a fault on the way names the INT itself."""
        try:
            self._deliver(vector, None, next_rip, soft=True)
        except GuestFault as fault:
            self.raise_fault(fault, rip)

    def external_interrupt(self, vector: int, rip: int) -> None:
        """An interrupt from a device, at a block boundary with IF set."""
        try:
            self._deliver(vector, None, rip, soft=False)
        except GuestFault as fault:
            self.raise_fault(_from_outside(fault), rip)

    # --- delivery

    def _deliver(self, vector: int, error_code: int | None, return_rip: int, *, soft: bool) -> None:
        if self._state.is_long:
            self._deliver_long(vector, error_code, return_rip, soft)
        else:
            self._deliver_protected(vector, error_code, return_rip, soft)

    def _gate(self, vector: int, n_bytes: int, soft: bool) -> bytes:
        """The gate, its type and presence checked (SDM 3A 6.12, 6.14)."""
        selector_code = vector * 8 + 2 + (0 if soft else EXT)
        if vector * n_bytes + n_bytes - 1 > self._state.idtr.limit:
            raise GuestFault(GP, selector_code)
        gate = self._paging.read_virtual(self._state.idtr.base + vector * n_bytes, n_bytes)
        kind = gate[5] & 0x1F
        if not self._state.is_long and kind in (5, 6, 7):
            raise DomainCrash(f"vector {vector}: 16-bit gates and task gates are not supported")
        if kind not in (INTERRUPT_GATE, TRAP_GATE):
            raise GuestFault(GP, selector_code)
        if not gate[5] & 0x80:
            raise GuestFault(NP, selector_code)
        return gate

    def _deliver_long(self, vector: int, error_code: int | None, return_rip: int, soft: bool) -> None:
        gate = self._gate(vector, 16, soft)
        selector = int.from_bytes(gate[2:4], "little")
        target = int.from_bytes(gate[0:2] + gate[6:12], "little")
        descriptor = self._segments.code_for(selector)
        if not descriptor.flags & LONG:
            raise general_protection(selector)
        if target >> 47 not in (0, 0x1FFFF):
            raise general_protection(0)
        ist = gate[4] & 7
        rsp = self._ist_stack(ist) if ist else self._vcpu.regs.gpr[RSP]
        rsp &= ~15
        rflags, old = self.rflags, self._vcpu.regs.gpr[RSP]
        words = [return_rip, self._selector(CS), rflags, old, self._selector(SS)]
        if error_code is not None:
            words.insert(0, error_code)
        frame = b"".join(word.to_bytes(8, "little") for word in words)
        rsp = rsp - len(frame) & U64_MAX
        self._push(rsp, frame, 8)
        self._segments.load_code(selector, descriptor)
        self._enter(gate, target, rsp, rflags)

    def _ist_stack(self, ist: int) -> int:
        """The stack of an interrupt stack table entry (SDM 3A 7.7)."""
        offset = 0x1C + 8 * ist
        if offset + 7 > self._state.tr.limit:
            raise GuestFault(TS, self._state.tr.selector & 0xFFFC)
        return int.from_bytes(self._paging.read_virtual(self._state.tr.base + offset, 8), "little")

    def _deliver_protected(self, vector: int, error_code: int | None, return_rip: int, soft: bool) -> None:
        gate = self._gate(vector, 8, soft)
        selector = int.from_bytes(gate[2:4], "little")
        target = int.from_bytes(gate[0:2] + gate[6:8], "little")
        descriptor = self._segments.code_for(selector)
        if target > descriptor.limit:
            raise general_protection(0)
        stack = self._vcpu.segment(SS)
        rflags, esp = self.rflags, self._vcpu.regs.gpr[RSP] & 0xFFFF_FFFF
        words = [return_rip & 0xFFFF_FFFF, self._selector(CS), rflags & 0xFFFF_FFFF]
        if error_code is not None:
            words.insert(0, error_code)
        frame = b"".join(word.to_bytes(4, "little") for word in words)
        esp = esp - len(frame) & 0xFFFF_FFFF
        self._push(stack.base + esp & 0xFFFF_FFFF, frame, 4)
        self._segments.load_code(selector, descriptor)
        self._enter(gate, target, esp, rflags)

    def _push(self, bottom: int, frame: bytes, word_bytes: int) -> None:
        """Write a frame. The CPU pushes downwards: of several words that fault, CR2 names the highest."""
        try:
            self._paging.write_virtual(bottom, frame)
        except GuestFault:
            for at in reversed(range(bottom, bottom + len(frame), word_bytes)):
                self._paging.tables.walk(at, WRITE)
            raise

    def _enter(self, gate: bytes, target: int, stack: int, rflags: int) -> None:
        cleared = RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM
        if gate[5] & 0xF == INTERRUPT_GATE:
            cleared |= RFLAGS_IF
        self.rflags = rflags & ~cleared
        self._vcpu.regs.gpr[RSP] = stack
        self._vcpu.regs.rip = target

    def _selector(self, index: int) -> int:
        return self._vcpu.segment(index).selector

    # --- return

    def interrupt_return(self, operand_bytes: int) -> None:
        """IRET, IRETD, IRETQ at virtual CPL 0 to CPL 0. Raises GuestFault."""
        if self.rflags & RFLAGS_NT:
            raise (
                general_protection(0)
                if self._state.is_long
                else DomainCrash("IRET with NT set: task switches are not supported")
            )
        mode64 = bool(self._state.is_long and self._vcpu.segment(CS).flags & LONG)
        rsp = self._vcpu.regs.gpr[RSP]
        base = 0 if mode64 else self._vcpu.segment(SS).base
        mask = (1 << 64) - 1 if mode64 else 0xFFFF_FFFF
        n_words = 5 if mode64 else 3
        raw = self._paging.read_virtual((rsp & mask) + base, n_words * operand_bytes)
        words = [
            int.from_bytes(raw[i : i + operand_bytes], "little") for i in range(0, len(raw), operand_bytes)
        ]
        rip, selector, rflags = words[0], words[1] & 0xFFFF, words[2]
        if selector & 3:
            raise DomainCrash(
                f"IRET to ring {selector & 3} (CS {selector:#x}): full mode has no guest user code yet"
            )
        if not self._state.is_long and rflags & RFLAGS_VM:
            raise DomainCrash("IRET to virtual-8086 mode, which is not supported")
        descriptor = self._segments.code_for(selector)
        if descriptor.flags & LONG and self._state.is_long:
            if rip >> 47 not in (0, 0x1FFFF):
                raise general_protection(0)
        elif rip > descriptor.limit:
            raise general_protection(0)
        if mode64:
            new_rsp, stack_selector = words[3], words[4] & 0xFFFF
        else:
            new_rsp, stack_selector = rsp + n_words * operand_bytes & mask, None
        stack = None
        if stack_selector is not None:
            stack = self._segments.check_load(SS, stack_selector, bool(descriptor.flags & LONG))
        self._segments.load_code(selector, descriptor)
        if stack is not None:
            self._vcpu.set_segment(SS, stack)
        kept = self.rflags & ~0xFFFF if operand_bytes == 2 else 0
        self.rflags = (rflags | kept) & ~RFLAGS_VM  # IA-32e mode ignores it; else it was refused above
        self._vcpu.regs.gpr[RSP] = new_rsp
        self._vcpu.regs.rip = rip


def _from_outside(fault: GuestFault) -> GuestFault:
    """A fault met while an event was delivered: EXT is set in an error code that names a selector."""
    if fault.vector in WITH_SELECTOR and fault.error_code is not None:
        return GuestFault(fault.vector, fault.error_code | EXT)
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
