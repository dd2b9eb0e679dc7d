# SPDX-License-Identifier: GPL-2.0-or-later
"""Model-specific registers of the virtual CPU; one that it does not have is #GP (SDM 4, table 2-2).

This room has no twin: a paravirtual guest has no MSRs.
"""

from __future__ import annotations

from typing import Protocol

from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import FS, GS
from pvisor.full.segments import Segmentation
from pvisor.full.state import (
    EFER_LMA,
    EFER_LME,
    EFER_NXE,
    EFER_SCE,
    CpuState,
    general_protection,
    is_canonical,
    is_paged,
)
from pvisor.full.tsc import tsc

TSC, PLATFORM_ID, APIC_BASE, TSC_ADJUST, BIOS_SIGN_ID = 0x10, 0x17, 0x1B, 0x3B, 0x8B
SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP = 0x174, 0x175, 0x176
MISC_ENABLE, PAT = 0x1A0, 0x277
EFER, STAR, LSTAR, CSTAR, FMASK = 0xC000_0080, 0xC000_0081, 0xC000_0082, 0xC000_0083, 0xC000_0084
FS_BASE, GS_BASE, KERNEL_GS_BASE, TSC_AUX = 0xC000_0100, 0xC000_0101, 0xC000_0102, 0xC000_0103
MTRRCAP, MTRR_DEF_TYPE = 0xFE, 0x2FF
N_VARIABLE_MTRRS = 8
MTRR_FIXED = (0x250, 0x258, 0x259, *range(0x268, 0x270))
MTRR_VARIABLE = range(0x200, 0x200 + 2 * N_VARIABLE_MTRRS)
WRITE_BACK = 6

PAT_TYPES = frozenset((0, 1, 4, 5, 6, 7))
EFER_WRITABLE = EFER_LME | EFER_NXE | EFER_SCE
U64_MAX = (1 << 64) - 1
PLAIN = {
    STAR: "star",
    FMASK: "fmask",
    SYSENTER_CS: "sysenter_cs",
    SYSENTER_ESP: "sysenter_esp",
    SYSENTER_EIP: "sysenter_eip",
    LSTAR: "lstar",
    CSTAR: "cstar",
    KERNEL_GS_BASE: "kernel_gs_base",
    TSC_ADJUST: "tsc_adjust",
    TSC_AUX: "tsc_aux",
    PAT: "pat",
    MISC_ENABLE: "misc_enable",
    EFER: "efer",
}
"""MSRs that read as a field of the CPU state."""
ADDRESSES = frozenset((LSTAR, CSTAR, KERNEL_GS_BASE, FS_BASE, GS_BASE, SYSENTER_ESP, SYSENTER_EIP))
"""MSRs that hold an address, which must be canonical (SDM 2C, WRMSR)."""


class ApicBase(Protocol):
    """The local APIC, as far as IA32_APIC_BASE goes."""

    def read_base(self) -> int:
        """The register."""

    def write_base(self, value: int) -> bool:
        """Set it; False for a value that is #GP."""


class AddedMsr(Protocol):
    """A register that a PC does not have."""

    def read(self) -> int:
        """The register."""

    def write(self, value: int) -> bool:
        """Set it; False for a value that is #GP."""


class Msrs:
    """RDMSR and WRMSR of one vCPU."""

    def __init__(self, vcpu: UnicornVcpu, state: CpuState, segments: Segmentation) -> None:
        self._vcpu = vcpu
        self._state = state
        self._segments = segments
        self._mtrrs = {MTRR_DEF_TYPE: 0xC00 | WRITE_BACK, **dict.fromkeys(MTRR_VARIABLE, 0)}
        self._mtrrs.update(dict.fromkeys(MTRR_FIXED, WRITE_BACK * 0x0101_0101_0101_0101))
        self.apic: ApicBase | None = None
        self.added: dict[int, AddedMsr] = {}
        """Registers beside a PC's, by number."""

    def read(self, index: int, virtual_ns: int) -> int:
        """Value of an MSR. Raises GuestFault for one that there is not."""
        if index == TSC_AUX and not self._state.has_tsc_aux:
            raise general_protection()
        field = PLAIN.get(index)
        if field is not None:
            return int(getattr(self._state, field))
        if index in (FS_BASE, GS_BASE):
            return self._vcpu.segment(FS if index == FS_BASE else GS).base
        if index == TSC:
            return tsc(self._state, virtual_ns)
        if index in self._mtrrs:
            return self._mtrrs[index]
        if index == MTRRCAP:
            return N_VARIABLE_MTRRS | 1 << 8 | 1 << 10  # fixed ranges, write-combining
        if index == APIC_BASE and self.apic is not None:
            return self.apic.read_base()
        if index in (PLATFORM_ID, BIOS_SIGN_ID):
            return 0
        if index in self.added:
            return self.added[index].read()
        raise general_protection()

    def write(self, index: int, value: int, virtual_ns: int) -> bool:
        """Set an MSR; True when the meaning of page tables changed. Raises GuestFault."""
        state = self._state
        if index in ADDRESSES and not is_canonical(value):
            raise general_protection()
        if index == TSC_AUX and not state.has_tsc_aux:
            raise general_protection()
        if index == EFER:
            return self._write_efer(value)
        if index in (FS_BASE, GS_BASE):
            self._segments.set_base(FS if index == FS_BASE else GS, value)
        elif index == TSC:
            state.tsc_adjust = state.tsc_adjust + value - tsc(state, virtual_ns) & U64_MAX
            state.tsc_offset = value - virtual_ns & U64_MAX
        elif index == TSC_ADJUST:
            state.tsc_offset = state.tsc_offset + value - state.tsc_adjust & U64_MAX
            state.tsc_adjust = value
        elif index in self._mtrrs:
            self._write_mtrr(index, value)
        elif index == APIC_BASE and self.apic is not None:
            if not self.apic.write_base(value):
                raise general_protection()
        elif index == BIOS_SIGN_ID:
            pass
        elif index in PLAIN:
            self._write_plain(index, value)
        elif index in self.added:
            if not self.added[index].write(value):
                raise general_protection()
        else:
            raise general_protection()
        return False

    def _write_plain(self, index: int, value: int) -> None:
        if index == PAT and not all(value >> 8 * i & 0xFF in PAT_TYPES for i in range(8)):
            raise general_protection()
        if index in (FMASK, TSC_AUX, SYSENTER_CS) and value >> 32:
            raise general_protection()
        setattr(self._state, PLAIN[index], value)

    def _write_mtrr(self, index: int, value: int) -> None:
        """Kept and shown; memory has one type here. A type that there is not is #GP (SDM 3A 12.11.2)."""
        types = [value & 0xFF] if index not in MTRR_FIXED else [value >> 8 * i & 0xFF for i in range(8)]
        is_mask = index in MTRR_VARIABLE and index & 1
        if not is_mask and not all(kind in (0, 1, 4, 5, 6) for kind in types):
            raise general_protection()
        self._mtrrs[index] = value

    def _write_efer(self, value: int) -> bool:
        """LMA follows LME and CR0.PG by itself; LME is fixed while paging is on (SDM 3A 2.2.1)."""
        state = self._state
        if value & ~(EFER_WRITABLE | EFER_LMA):
            raise general_protection()
        if is_paged(state) and (value ^ state.efer) & EFER_LME:
            raise general_protection()
        changed = (value ^ state.efer) & EFER_NXE
        state.efer = value & EFER_WRITABLE | state.efer & EFER_LMA
        return bool(changed)
