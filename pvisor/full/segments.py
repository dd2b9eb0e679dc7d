# SPDX-License-Identifier: GPL-2.0-or-later
"""Segments of a PC guest: its own GDT, shadowed descriptor by descriptor.

The real GDTR has limit 0, so every load of a non-null selector traps. Then the descriptor is read from the
guest's table, checked as the CPU would, and its shadow - the same with DPL 0 raised to 1 - goes into the
hidden part of the real register. The visible part keeps the guest's selector, so the guest reads back what
it wrote. A table is read when x86 reads it, and never else.

The guest's ring 0 is the real ring 1, its ring 3 the real ring 3; rings 1 and 2 are refused. Twin of
para/segments.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from pvisor.cpu.shim import lib
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import CS, DS, ES, FS, GS, SS, Segment
from pvisor.errors import DomainCrash
from pvisor.full.paging import ShadowPaging
from pvisor.full.state import NP, SS_FAULT, CpuState, GuestFault, SystemSegment, general_protection, is_long

ACCESSED, WRITABLE_OR_READABLE, CONFORMING_OR_DOWN, CODE = 1 << 8, 1 << 9, 1 << 10, 1 << 11
NOT_SYSTEM, PRESENT, LONG, DEFAULT_BIG, GRANULARITY = 1 << 12, 1 << 15, 1 << 21, 1 << 22, 1 << 23
DPL_SHIFT = 13
"""Bits of a descriptor's second dword (SDM 3A 3.4.5)."""

UPPER_TYPE = 0x1F00
"""Must be 0 in the last dword of a descriptor of 16 bytes (SDM 3A 5.8.3.1, 7.2.3)."""
LDT, TSS_AVAILABLE, CALL_GATE = 2, 9, 12
"""Types of system descriptors (SDM 3A table 3-2)."""
REAL_KERNEL_DPL = 1
REMEDY_REGISTERS = 2
"""enum pv_remedy (cpu/shim/types.h)."""
NULL = Segment(0, 0, 0, 0)
FLAT_CODE, FLAT_CODE64, FLAT_DATA = 0x00CF_9B00, 0x00AF_9B00, 0x00CF_9300
"""The segments that SYSCALL and its kin load without a descriptor, with DPL 0 (SDM 2B, SYSCALL)."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """An entry of the guest's GDT or LDT."""

    address: int
    low: int
    flags: int
    base_high: int = 0
    last: int = 0
    """The last dword, where a system descriptor has 16 bytes."""

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
    def kind(self) -> int:
        """The type of a system descriptor."""
        return self.flags >> 8 & 15

    @property
    def is_system(self) -> bool:
        """Is it a TSS, an LDT or a gate?"""
        return not self.flags & NOT_SYSTEM

    @property
    def is_conforming(self) -> bool:
        """Is it a conforming code segment?"""
        return self.is_code and bool(self.flags & CONFORMING_OR_DOWN)

    @property
    def is_writable_data(self) -> bool:
        """May it be a stack?"""
        return bool(self.flags & NOT_SYSTEM and not self.flags & CODE and self.flags & WRITABLE_OR_READABLE)

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
        """The segments with which PVH and Multiboot enter a guest: flat, 32 bits."""
        self._vcpu.set_gdtr(0, 0)
        self._vcpu.set_segment(CS, Segment(0x08, 0, 0xFFFF_FFFF, 0x00CF_BB00))
        for index in (SS, DS, ES, FS, GS):
            self._vcpu.set_segment(index, Segment(0x10, 0, 0xFFFF_FFFF, 0x00CF_B300))

    @property
    def cpl(self) -> int:
        """The virtual privilege level: 0 or 3."""
        return 3 if lib.pv_cpl(self._vcpu.v) == 3 else 0

    @property
    def in_64bit_code(self) -> bool:
        """Is the current code segment a 64-bit one?"""
        return bool(self._vcpu.segment(CS).flags & LONG)

    @property
    def code_bits(self) -> int:
        """The width of the current code segment: 16, 32 or 64."""
        flags = self._vcpu.segment(CS).flags
        return 64 if flags & LONG else 32 if flags & DEFAULT_BIG else 16

    # --- descriptors

    def descriptor(self, selector: int, *, system_bytes: int = 8) -> Descriptor:
        """Read a descriptor. Raises GuestFault (#GP) when the selector is beyond its table."""
        found = self.find_descriptor(selector, system_bytes=system_bytes)
        if found is None:
            raise general_protection(selector)
        return found

    def find_descriptor(self, selector: int, *, system_bytes: int = 8) -> Descriptor | None:
        """The same, but None when the selector is beyond its table. Raises GuestFault (#PF)."""
        state = self._state
        base, limit = state.gdtr.base, state.gdtr.limit
        if selector & 4:
            if not state.ldtr.selector & 0xFFFC:
                return None
            base, limit = state.ldtr.base, state.ldtr.limit
        offset = selector & 0xFFF8
        if offset + system_bytes - 1 > limit:
            return None
        raw = self._paging.read_virtual(base + offset, system_bytes)
        words = [int.from_bytes(raw[i : i + 4], "little") for i in range(0, system_bytes, 4)]
        return Descriptor(base + offset, *words)

    def shadow(self, selector: int, descriptor: Descriptor, real_dpl: int | None = None) -> Segment:
        """What the real register gets: the guest's descriptor, its DPL the real one."""
        flags = descriptor.flags | ACCESSED
        dpl = real_dpl if real_dpl is not None else max(descriptor.dpl, REAL_KERNEL_DPL)
        flags = flags & ~(3 << DPL_SHIFT) | dpl << DPL_SHIFT
        if not is_long(self._state):
            flags &= ~LONG
        return Segment(selector, descriptor.base, descriptor.limit, flags)

    def set_accessed(self, descriptor: Descriptor) -> None:
        """The accessed bit goes into the guest's table, as x86 writes it."""
        if not descriptor.flags & ACCESSED:
            flags = descriptor.flags | ACCESSED
            self._paging.write_virtual(descriptor.address + 4, flags.to_bytes(4, "little"))

    # --- data and stack segments

    def load(self, index: int, selector: int) -> None:
        """MOV, POP or Lxx into a data or stack segment register. Raises GuestFault."""
        if index == SS:
            segment = self.check_stack(selector, self.cpl, self.in_64bit_code)
        else:
            segment = self._check_data(selector)
        self._vcpu.set_segment(index, segment)

    def check_stack(self, selector: int, cpl: int, to_64bit_code: bool, vector: int | None = None) -> Segment:
        """What SS gets at privilege level CPL: every check done, nothing loaded.

        Raises GuestFault: #GP, or `vector` in its place (#TS for a stack that a TSS names).
        """

        def refused(code: int) -> GuestFault:
            return general_protection(code) if vector is None else GuestFault(vector, code & 0xFFFC)

        real_dpl = 3 if cpl == 3 else REAL_KERNEL_DPL
        if not selector & 0xFFFC:
            if not to_64bit_code or selector & 3 != cpl or cpl == 3:
                raise refused(0)
            # A null SS keeps the level: its DPL is what the engine takes the CPL from.
            return Segment(selector, 0, 0, real_dpl << DPL_SHIFT)
        descriptor = self.find_descriptor(selector)
        if (
            descriptor is None
            or selector & 3 != cpl
            or descriptor.dpl != cpl
            or not descriptor.is_writable_data
        ):
            raise refused(selector)
        if not descriptor.flags & PRESENT:
            raise GuestFault(SS_FAULT, selector & 0xFFFC)
        self.set_accessed(descriptor)
        return self.shadow(selector, descriptor, real_dpl)

    def _check_data(self, selector: int) -> Segment:
        """DS, ES, FS, GS (SDM 2B, MOV). Raises GuestFault."""
        if not selector & 0xFFFC:
            return Segment(selector, 0, 0, 0)
        descriptor = self.descriptor(selector)
        flags = descriptor.flags
        if not flags & NOT_SYSTEM or (flags & CODE and not flags & WRITABLE_OR_READABLE):
            raise general_protection(selector)
        if not descriptor.is_conforming and max(selector & 3, self.cpl) > descriptor.dpl:
            raise general_protection(selector)
        if not flags & PRESENT:
            raise GuestFault(NP, selector & 0xFFFC)
        self.set_accessed(descriptor)
        return self.shadow(selector, descriptor)

    def clear_kernel_data(self) -> None:
        """After a return to ring 3: data segments not meant for it become null (SDM 2A, IRET)."""
        for index in (DS, ES, FS, GS):
            segment = self._vcpu.segment(index)
            conforming = segment.flags & CODE and segment.flags & CONFORMING_OR_DOWN
            if segment.selector & 0xFFFC and segment.flags >> DPL_SHIFT & 3 < 3 and not conforming:
                self._vcpu.set_segment(index, NULL)

    # --- code segments

    def check_code(self, selector: int, descriptor: Descriptor) -> None:
        """Is it a code segment that can be entered in this mode? Raises GuestFault (#GP, #NP)."""
        if not descriptor.is_code:
            raise general_protection(selector)
        if is_long(self._state) and descriptor.flags & LONG and descriptor.flags & DEFAULT_BIG:
            raise general_protection(selector)
        if not descriptor.flags & PRESENT:
            raise GuestFault(NP, selector & 0xFFFC)

    def check_target(self, descriptor: Descriptor, rip: int) -> None:
        """Can RIP be in this code segment? Raises GuestFault (#GP(0))."""
        if descriptor.flags & LONG and is_long(self._state):
            if rip >> 47 not in (0, 0x1FFFF):
                raise general_protection(0)
        elif rip > descriptor.limit:
            raise general_protection(0)

    def load_code(self, selector: int, descriptor: Descriptor, cpl: int) -> None:
        """Make a checked descriptor the code segment, at a virtual privilege level."""
        if cpl not in (0, 3):
            raise DomainCrash(f"CS {selector:#x} leads to ring {cpl}: rings 1 and 2 are not supported")
        self.set_accessed(descriptor)
        real_dpl = 3 if cpl == 3 else REAL_KERNEL_DPL
        self._vcpu.set_segment(CS, self.shadow(selector & 0xFFFC | cpl, descriptor, real_dpl))

    def load_flat(self, index: int, selector: int, flags: int, cpl: int) -> None:
        """CS or SS as SYSCALL, SYSRET, SYSENTER and SYSEXIT set them: fixed, no table is read."""
        real_dpl = 3 if cpl == 3 else REAL_KERNEL_DPL
        segment = Segment(
            selector & 0xFFFC | cpl, 0, 0xFFFF_FFFF, flags & ~(3 << DPL_SHIFT) | real_dpl << DPL_SHIFT
        )
        self._vcpu.set_segment(index, segment)

    # --- system segments

    def load_tr(self, selector: int) -> None:
        """LTR: the TSS becomes busy in the guest's table. Raises GuestFault."""
        if not selector & 0xFFFC or selector & 4:
            raise general_protection(selector)
        descriptor = self._system_descriptor(selector)
        kinds = (TSS_AVAILABLE,) if is_long(self._state) else (1, TSS_AVAILABLE)
        if not descriptor.is_system or descriptor.kind not in kinds:
            raise general_protection(selector)
        if not descriptor.flags & PRESENT:
            raise GuestFault(NP, selector & 0xFFFC)
        if descriptor.last & UPPER_TYPE:
            raise general_protection(selector)
        busy = descriptor.flags | 1 << 9
        self._paging.write_virtual(descriptor.address + 4, busy.to_bytes(4, "little"))
        _load_system(self._state.tr, selector, descriptor, busy)

    def load_ldtr(self, selector: int) -> None:
        """LLDT. Raises GuestFault."""
        if not selector & 0xFFFC:
            self._state.ldtr.selector = selector
            return
        if selector & 4:
            raise general_protection(selector)
        descriptor = self._system_descriptor(selector)
        if not descriptor.is_system or descriptor.kind != LDT:
            raise general_protection(selector)
        if not descriptor.flags & PRESENT:
            raise GuestFault(NP, selector & 0xFFFC)
        if descriptor.last & UPPER_TYPE:
            raise general_protection(selector)
        _load_system(self._state.ldtr, selector, descriptor, descriptor.flags)

    def _system_descriptor(self, selector: int) -> Descriptor:
        return self.descriptor(selector, system_bytes=16 if is_long(self._state) else 8)

    def show_tables(self) -> None:
        """Where SIDT, STR and SLDT run as they are, they show the real registers: the guest's values."""
        if self._vcpu.v.remedy == REMEDY_REGISTERS:
            state = self._state
            self._vcpu.show_tables(state.idtr.base, state.idtr.limit, state.tr.selector, state.ldtr.selector)

    def set_base(self, index: int, base: int) -> None:
        """WRMSR of FS_BASE or GS_BASE."""
        old = self._vcpu.segment(index)
        self._vcpu.set_segment(index, Segment(old.selector, base, old.limit, old.flags))


def _load_system(register: SystemSegment, selector: int, descriptor: Descriptor, flags: int) -> None:
    register.selector, register.flags = selector, flags
    register.base, register.limit = descriptor.base, descriptor.limit
