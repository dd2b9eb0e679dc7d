# SPDX-License-Identifier: GPL-2.0-or-later
"""Control and debug registers of the virtual CPU, with the checks of the manual (SDM 3A 2.5, 4.1; 2B, MOV).

Twin of para/control.py.
"""

from __future__ import annotations

from typing import Protocol

from pvisor.cpu.features import CR4_OSXSAVE, PHYSICAL_BITS, XCR0_SSE, XCR0_X87
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import CS
from pvisor.errors import DomainCrash
from pvisor.full.paging import ShadowPaging
from pvisor.full.state import (
    CR0_AM,
    CR0_CD,
    CR0_EM,
    CR0_ET,
    CR0_MP,
    CR0_NE,
    CR0_NW,
    CR0_PE,
    CR0_PG,
    CR0_TS,
    CR0_WP,
    CR4_DE,
    CR4_PAE,
    CR4_PCIDE,
    CR4_PSE,
    CR4_TSD,
    EFER_LMA,
    EFER_LME,
    UD,
    CpuState,
    GuestFault,
    general_protection,
    is_long,
)
from pvisor.full.walk import PDPTE_RESERVED

CR0_DEFINED = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG
CR3_KEEPS = 1 << 63
"""In a load of CR3 while CR4.PCIDE is set: nothing is flushed (SDM 3A 4.10.4.1)."""
CR3_RESERVED = ((1 << 64) - 1) & ~((1 << PHYSICAL_BITS) - 1)
DR7_ALWAYS = 0x400
DR6_ALWAYS = 0xFFFF_0FF0


class TaskPriority(Protocol):
    """The local APIC, as far as CR8 goes."""

    cr8: int


class DebugRegisters(Protocol):
    """Who makes breakpoints of them (full/breakpoints.py); set by whoever makes both."""

    def update(self) -> None:
        """DR0 to DR3, DR7 or CR4.DE have changed."""


class _NoApic:
    cr8 = 0


class ControlRegisters:
    """MOV to and from CRn and DRn of one vCPU."""

    def __init__(self, vcpu: UnicornVcpu, state: CpuState, paging: ShadowPaging) -> None:
        self._vcpu = vcpu
        self._state = state
        self._paging = paging
        self.task_priority: TaskPriority = _NoApic()
        self.breakpoints: DebugRegisters

    def read(self, number: int) -> int:
        """CRn. Raises GuestFault (#UD) for one that there is not."""
        state = self._state
        values = {0: state.cr0, 2: state.cr2, 3: state.cr3, 4: state.cr4}
        if number == 8:
            return self.task_priority.cr8
        if number not in values:
            raise GuestFault(UD)
        return values[number]

    def write(self, number: int, value: int) -> None:
        """CRn. Raises GuestFault."""
        if number == 0:
            self.write_cr0(value)
        elif number == 2:
            self._state.cr2 = value
        elif number == 3:
            self._write_cr3(value)
        elif number == 4:
            self._write_cr4(value)
        elif number == 8:
            if value >> 4:
                raise general_protection()
            self.task_priority.cr8 = value
        else:
            raise GuestFault(UD)

    def write_cr0(self, value: int) -> None:
        """CR0: also LMSW's and CLTS's way."""
        state = self._state
        if value >> 32 or (value & CR0_PG and not value & CR0_PE) or (value & CR0_NW and not value & CR0_CD):
            raise general_protection()
        value = value & CR0_DEFINED | CR0_ET
        if not value & CR0_PE:
            raise DomainCrash("the guest cleared CR0.PE: real mode is not supported")
        if (value ^ state.cr0) & CR0_PG:
            self._switch_paging(bool(value & CR0_PG))
        changed = value ^ state.cr0
        state.cr0 = value
        self._vcpu.set_cr0(value)
        if changed & CR0_WP:
            self._paging.drop_all()
        if changed & CR0_PG:
            self._paging.switch()

    def _may_have_pcids(self, cr4: int) -> bool:
        """May CR4.PCIDE be so? It is set in IA-32e mode only, and while CR3 names PCID 0 (SDM 3A 4.10.1)."""
        state = self._state
        return not cr4 & ~state.cr4 & CR4_PCIDE or (is_long(state) and not state.cr3 & 0xFFF)

    def _switch_paging(self, on: bool) -> None:
        """CR0.PG changes: IA-32e mode begins or ends with it, PAE paging loads its registers (SDM 3A 4.1)."""
        state = self._state
        if on and state.efer & EFER_LME:
            if not state.cr4 & CR4_PAE or state.tr.flags >> 8 & 15 in (1, 3):
                raise general_protection()
            state.efer |= EFER_LMA
        elif on and state.cr4 & CR4_PAE:
            self._load_pdptes(state.cr3)
        elif not on and is_long(state):
            if state.cr4 & CR4_PCIDE or self._vcpu.segment(CS).flags & 1 << 21:
                raise general_protection()
            state.efer &= ~EFER_LMA

    def _write_cr3(self, value: int) -> None:
        state = self._state
        keeps = bool(state.cr4 & CR4_PCIDE and value & CR3_KEEPS)
        if keeps:
            value &= ~CR3_KEEPS
        if is_long(state):
            if value & CR3_RESERVED:
                raise general_protection()
        elif state.cr0 & CR0_PG and state.cr4 & CR4_PAE:
            self._load_pdptes(value)
        state.cr3 = value
        self._paging.switch(keeps=keeps)

    def _load_pdptes(self, cr3: int) -> None:
        """PAE paging reads its four top entries here, and only here (SDM 3A 4.4.1). Raises GuestFault."""
        entries = self._paging.read_pdptes(cr3 & 0xFFFF_FFE0)
        if any(entry & 1 and entry & PDPTE_RESERVED for entry in entries):
            raise general_protection()
        for i, entry in enumerate(entries):
            self._state.pdpte[i] = entry

    def _write_cr4(self, value: int) -> None:
        state = self._state
        if value & ~state.cr4_offered or (is_long(state) and not value & CR4_PAE):
            raise general_protection()
        if not self._may_have_pcids(value):
            raise general_protection()
        changed = (value ^ state.cr4) & (CR4_PSE | CR4_PAE)
        if state.cr0 & CR0_PG and not is_long(state) and value & CR4_PAE and changed:
            self._load_pdptes(state.cr3)
        if (value ^ state.cr4) & CR4_TSD:
            self._vcpu.v.user_rdtsc_traps = bool(value & CR4_TSD)
            self._vcpu.new_epoch()  # blocks are looked through again for what is sensitive now
        state.cr4 = value
        self._vcpu.set_cr4(value)
        if self._vcpu.v.debugging:
            self.breakpoints.update()
        if changed:
            self._paging.drop_all()
        self._paging.flush_all()  # what a change of PGE means: nothing that the guest has changed is kept
        self._paging.switch()

    def write_xcr(self, number: int, value: int) -> None:
        """XSETBV: x87 always, SSE or not; the real CPU saves and restores by it, too (SDM 2D, XSETBV)."""
        state = self._state
        if not state.cr4 & CR4_OSXSAVE:
            raise GuestFault(UD)
        if self._vcpu.cpl == 3 or number or value & ~(XCR0_X87 | XCR0_SSE) or not value & XCR0_X87:
            raise general_protection()
        state.xcr0 = value
        self._vcpu.set_xcr0(value)

    def read_debug(self, number: int) -> int:
        """DRn; 4 and 5 are 6 and 7 while CR4.DE is clear (SDM 3B 18.2.2)."""
        return self._state.dr[self._debug_index(number)]

    def write_debug(self, number: int, value: int) -> None:
        """DRn. What breakpoints do is in breakpoints.py."""
        index = self._debug_index(number)
        if index >= 6 and value >> 32:
            raise general_protection()
        if index == 7:
            value |= DR7_ALWAYS
        elif index == 6:
            value |= DR6_ALWAYS
        self._state.dr[index] = value
        if index != 6:
            self.breakpoints.update()

    def clear_breakpoints(self, enables: int) -> None:
        """Clear these bits of DR7: a task switch does so with the local enables (SDM 3B 17.2.4)."""
        if self._state.dr[7] & enables:
            self._state.dr[7] &= ~enables
            self.breakpoints.update()

    def _debug_index(self, number: int) -> int:
        if number > 7 or (number in (4, 5) and self._state.cr4 & CR4_DE):
            raise GuestFault(UD)
        return number + 2 if number in (4, 5) else number
