# SPDX-License-Identifier: GPL-2.0-or-later
"""Model-specific registers of the virtual CPU; one that it does not have is #GP (SDM 4, table 2-2).

This room has no twin: a paravirtual guest has no MSRs.
"""

from __future__ import annotations

from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import FS, GS
from pvisor.full.segments import Segmentation
from pvisor.full.state import EFER_LMA, EFER_LME, EFER_NXE, CpuState, general_protection
from pvisor.full.timer import tsc

TSC, PAT = 0x10, 0x277
EFER, FS_BASE, GS_BASE, KERNEL_GS_BASE = 0xC000_0080, 0xC000_0100, 0xC000_0101, 0xC000_0102
TSC_AUX = 0xC000_0103

PAT_TYPES = frozenset((0, 1, 4, 5, 6, 7))
EFER_WRITABLE = EFER_LME | EFER_NXE
"""SCE is not among them: CPUID offers no SYSCALL."""


class Msrs:
    """RDMSR and WRMSR of one vCPU."""

    def __init__(self, vcpu: UnicornVcpu, state: CpuState, segments: Segmentation) -> None:
        self._vcpu = vcpu
        self._state = state
        self._segments = segments

    def read(self, index: int, virtual_ns: int) -> int:
        """Value of an MSR. Raises GuestFault for one that there is not."""
        state = self._state
        if index == EFER:
            return state.efer
        if index in (FS_BASE, GS_BASE):
            return self._vcpu.segment(FS if index == FS_BASE else GS).base
        if index == KERNEL_GS_BASE:
            return state.kernel_gs_base
        if index == TSC:
            return tsc(state, virtual_ns)
        if index == PAT:
            return state.pat
        if index == TSC_AUX:
            return 0
        raise general_protection()

    def write(self, index: int, value: int, virtual_ns: int) -> bool:
        """Set an MSR; True when the meaning of page tables changed. Raises GuestFault."""
        state = self._state
        if index == EFER:
            return self._write_efer(value)
        if index in (FS_BASE, GS_BASE, KERNEL_GS_BASE):
            if value >> 47 not in (0, 0x1FFFF):
                raise general_protection()
            if index == KERNEL_GS_BASE:
                state.kernel_gs_base = value
            else:
                self._segments.set_base(FS if index == FS_BASE else GS, value)
        elif index == TSC:
            state.tsc_offset = value - virtual_ns
        elif index == PAT:
            if not all(value >> 8 * i & 0xFF in PAT_TYPES for i in range(8)):
                raise general_protection()
            state.pat = value
        elif index == TSC_AUX and value == 0:
            pass
        else:
            raise general_protection()
        return False

    def _write_efer(self, value: int) -> bool:
        """LMA follows LME and CR0.PG by itself; LME is fixed while paging is on (SDM 3A 2.2.1)."""
        state = self._state
        if value & ~(EFER_WRITABLE | EFER_LMA):
            raise general_protection()
        if state.is_paged and (value ^ state.efer) & EFER_LME:
            raise general_protection()
        changed = (value ^ state.efer) & EFER_NXE
        state.efer = value & EFER_WRITABLE | state.efer & EFER_LMA
        return bool(changed)
