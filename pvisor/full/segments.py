# SPDX-License-Identifier: GPL-2.0-or-later
"""Segments of a PC guest: its own GDT, shadowed descriptor by descriptor.

The real GDTR has limit 0, so every load of a non-null selector traps. Then the descriptor is read from the
guest's table, checked as the CPU would, and its shadow - the same with DPL 0 raised to 1 - goes into the
hidden part of the real register. The visible part keeps the guest's selector, so the guest reads back what
it wrote. A table is read when x86 reads it, and never else. Twin of para/segments.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import CS, DS, ES, FS, GS, SS, Segment
from pvisor.errors import DomainCrash
from pvisor.full.paging import ShadowPaging
from pvisor.full.state import (
    NP,
    SS_FAULT,
    CpuState,
    GuestFault,
    SystemSegment,
    TableRegister,
    general_protection,
)

ACCESSED, WRITABLE_OR_READABLE, CONFORMING_OR_DOWN, CODE = 1 << 8, 1 << 9, 1 << 10, 1 << 11
NOT_SYSTEM, PRESENT, LONG, DEFAULT_BIG, GRANULARITY = 1 << 12, 1 << 15, 1 << 21, 1 << 22, 1 << 23
DPL_SHIFT = 13
"""Bits of a descriptor's second dword (SDM 3A 3.4.5)."""

TSS_AVAILABLE, LDT = 9, 2
LONG_GATES = frozenset((12,))
LEGACY_GATES = frozenset((1, 4, 5, 9, 12))
"""System descriptors to which a far transfer can go: call gates, and (legacy) task gates and TSSs."""
REAL_KERNEL_DPL = 1
NULL = Segment(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """An entry of the guest's GDT or LDT."""

    address: int
    low: int
    flags: int
    base_high: int = 0

    @property
    def dpl(self) -> int:
        """The privilege level."""
        return self.flags >> DPL_SHIFT & 3

    @property
    def base(self) -> int:
        """The segment's base."""
        return self.low >> 16 | (self.flags & 0xFF) << 16 | self.flags & 0xFF00_0000 | self.base_high << 32

    @property
    def limit(self) -> int:
        """The segment's limit in bytes."""
        limit = self.low & 0xFFFF | self.flags & 0xF_0000
        return limit << 12 | 0xFFF if self.flags & GRANULARITY else limit

    @property
    def is_code(self) -> bool:
        """Is it a code segment?"""
        return bool(self.flags & NOT_SYSTEM and self.flags & CODE)


class Segmentation:
    """Segment registers of one vCPU, and the tables they are loaded from."""

    def __init__(self, vcpu: UnicornVcpu, state: CpuState, paging: ShadowPaging) -> None:
        self._vcpu = vcpu
        self._state = state
        self._paging = paging

    def start(self) -> None:
        """The segments with which PVH enters a guest: flat, 32 bits."""
        self._vcpu.set_gdtr(0, 0)
        self._vcpu.set_segment(CS, Segment(0x08, 0, 0xFFFF_FFFF, 0x00CF_BB00))
        for index in (SS, DS, ES):
            self._vcpu.set_segment(index, Segment(0x10, 0, 0xFFFF_FFFF, 0x00CF_B300))
        for index in (FS, GS):
            self._vcpu.set_segment(index, NULL)

    def descriptor(self, selector: int, *, system_bytes: int = 8) -> Descriptor:
        """Read a descriptor. Raises GuestFault (#GP) when the selector is beyond its table."""
        table = self._state.gdtr
        if selector & 4:
            table = TableRegister(self._state.ldtr.base, self._state.ldtr.limit)
            if not self._state.ldtr.selector & 0xFFFC:
                raise general_protection(selector)
        offset = selector & 0xFFF8
        if offset + system_bytes - 1 > table.limit:
            raise general_protection(selector)
        raw = self._paging.read_virtual(table.base + offset, system_bytes)
        words = [int.from_bytes(raw[i : i + 4], "little") for i in range(0, system_bytes, 4)]
        return Descriptor(table.base + offset, words[0], words[1], words[2] if system_bytes == 16 else 0)

    def load(self, index: int, selector: int) -> None:
        """MOV, POP or Lxx into a data or stack segment register at virtual CPL 0. Raises GuestFault."""
        self._vcpu.set_segment(index, self.check_load(index, selector, self._in_64bit_code()))

    def check_load(self, index: int, selector: int, to_64bit_code: bool) -> Segment:
        """What a load would put into the register: every check done, nothing loaded. Raises GuestFault."""
        if not selector & 0xFFFC:
            if index == SS and (not to_64bit_code or selector & 3):
                raise general_protection(0)
            # A null SS keeps the level: its DPL is what the engine takes the CPL from.
            return Segment(selector, 0, 0, REAL_KERNEL_DPL << DPL_SHIFT if index == SS else 0)
        descriptor = self.descriptor(selector)
        self._check_data(index, selector, descriptor)
        if not descriptor.flags & PRESENT:
            raise GuestFault(SS_FAULT if index == SS else NP, selector & 0xFFFC)
        self._set_accessed(descriptor)
        return self._shadow(selector, descriptor)

    @staticmethod
    def _check_data(index: int, selector: int, descriptor: Descriptor) -> None:
        """Type and privilege checks (SDM 2B, MOV)."""
        flags, rpl = descriptor.flags, selector & 3
        if index == SS:
            writable = flags & NOT_SYSTEM and not flags & CODE and flags & WRITABLE_OR_READABLE
            if rpl or descriptor.dpl or not writable:
                raise general_protection(selector)
            return
        readable = flags & NOT_SYSTEM and (not flags & CODE or flags & WRITABLE_OR_READABLE)
        conforming = flags & CODE and flags & CONFORMING_OR_DOWN
        if not readable or (not conforming and rpl > descriptor.dpl):
            raise general_protection(selector)

    def code_for(self, selector: int) -> Descriptor:
        """The descriptor of a transfer's target at virtual CPL 0, checked. Raises GuestFault.

        At CPL 0 conforming and other segments obey one rule: their DPL is 0 (SDM 3A 5.8.1).
        """
        if not selector & 0xFFFC:
            raise general_protection(0)
        descriptor = self.descriptor(selector)
        if not descriptor.is_code or descriptor.dpl:
            raise general_protection(selector)
        if self._state.is_long and descriptor.flags & LONG and descriptor.flags & DEFAULT_BIG:
            raise general_protection(selector)
        if not descriptor.flags & PRESENT:
            raise GuestFault(NP, selector & 0xFFFC)
        return descriptor

    def refuse_gate(self, selector: int) -> None:
        """A far JMP or CALL through a call gate, or to a task, would be valid, and is not supported.

        Raises DomainCrash. In IA-32e mode there are no tasks to switch to (SDM 3A 5.8.3, 7.3).
        """
        if not selector & 0xFFFC:
            return
        descriptor = self.descriptor(selector)
        kind = descriptor.flags >> 8 & 15
        gates = LONG_GATES if self._state.is_long else LEGACY_GATES
        if not descriptor.flags & NOT_SYSTEM and kind in gates:
            raise DomainCrash(
                f"far transfer to selector {selector:#x}: call gates and task switches are not supported"
            )

    def load_code(self, selector: int, descriptor: Descriptor) -> None:
        """Make a checked descriptor the code segment; virtual CPL stays 0."""
        self._set_accessed(descriptor)
        self._vcpu.set_segment(CS, self._shadow(selector & 0xFFFC, descriptor))

    def load_tr(self, selector: int) -> None:
        """LTR: the TSS becomes busy in the guest's table. Raises GuestFault."""
        if not selector & 0xFFFC or selector & 4:
            raise general_protection(selector)
        descriptor = self.descriptor(selector, system_bytes=16 if self._state.is_long else 8)
        if descriptor.flags & NOT_SYSTEM or descriptor.flags >> 8 & 15 != TSS_AVAILABLE:
            raise general_protection(selector)
        if not descriptor.flags & PRESENT:
            raise GuestFault(NP, selector & 0xFFFC)
        busy = descriptor.flags | 1 << 9
        self._paging.write_virtual(descriptor.address + 4, busy.to_bytes(4, "little"))
        self._state.tr = SystemSegment(selector, descriptor.base, descriptor.limit)

    def load_ldtr(self, selector: int) -> None:
        """LLDT. Raises GuestFault."""
        if not selector & 0xFFFC:
            self._state.ldtr = SystemSegment(selector)
            return
        if selector & 4:
            raise general_protection(selector)
        descriptor = self.descriptor(selector, system_bytes=16 if self._state.is_long else 8)
        if descriptor.flags & NOT_SYSTEM or descriptor.flags >> 8 & 15 != LDT:
            raise general_protection(selector)
        if not descriptor.flags & PRESENT:
            raise GuestFault(NP, selector & 0xFFFC)
        self._state.ldtr = SystemSegment(selector, descriptor.base, descriptor.limit)

    def set_base(self, index: int, base: int) -> None:
        """WRMSR of FS_BASE or GS_BASE."""
        old = self._vcpu.segment(index)
        self._vcpu.set_segment(index, Segment(old.selector, base, old.limit, old.flags))

    def _shadow(self, selector: int, descriptor: Descriptor) -> Segment:
        """What the real register gets: the guest's descriptor, DPL 0 raised to the kernel's real level."""
        flags = descriptor.flags | ACCESSED
        if descriptor.dpl == 0 or flags & CODE:
            flags = flags & ~(3 << DPL_SHIFT) | REAL_KERNEL_DPL << DPL_SHIFT
        if not self._state.is_long:
            flags &= ~LONG
        return Segment(selector, descriptor.base, descriptor.limit, flags)

    def _set_accessed(self, descriptor: Descriptor) -> None:
        if not descriptor.flags & ACCESSED:
            flags = descriptor.flags | ACCESSED
            self._paging.write_virtual(descriptor.address + 4, flags.to_bytes(4, "little"))

    def _in_64bit_code(self) -> bool:
        return bool(self._state.is_long and self._vcpu.segment(CS).flags & LONG)
