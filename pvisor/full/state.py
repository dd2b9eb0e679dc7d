# SPDX-License-Identifier: GPL-2.0-or-later
"""The virtual CPU's privileged state: what the guest believes to have written.

The real CPU keeps its own (shim/engine.c). The virtual privilege level needs no field: the kernel runs at the
real CPL 1 and is the guest's ring 0, its user code at 3. Twin of para/state.py.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Protocol, cast

from pvisor.cpu.features import CR4_OSXSAVE, XCR0_X87
from pvisor.cpu.models import DEFAULT_CPU, VirtualCpu
from pvisor.cpu.shim import ffi

CR0_PE, CR0_MP, CR0_EM, CR0_TS, CR0_ET, CR0_NE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5
CR0_WP, CR0_AM, CR0_NW, CR0_CD, CR0_PG = 1 << 16, 1 << 18, 1 << 29, 1 << 30, 1 << 31
CR4_TSD, CR4_DE, CR4_PSE, CR4_PAE, CR4_MCE, CR4_PGE = 1 << 2, 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 7
CR4_PCE, CR4_OSFXSR, CR4_OSXMMEXCPT, CR4_PCIDE = 1 << 8, 1 << 9, 1 << 10, 1 << 17
EFER_SCE, EFER_LME, EFER_LMA, EFER_NXE = 1 << 0, 1 << 8, 1 << 10, 1 << 11
"""Control bits (SDM 3A 2.5, 2.2.1)."""

RFLAGS_TF, RFLAGS_IF, RFLAGS_IOPL, RFLAGS_NT, RFLAGS_RF, RFLAGS_VM = (
    1 << 8,
    1 << 9,
    3 << 12,
    1 << 14,
    1 << 16,
    1 << 17,
)

PAT_AT_RESET = 0x0007_0406_0007_0406
MISC_ENABLE_AT_RESET = 1
"""Fast strings (SDM 4, table 2-2)."""


class TableRegister(Protocol):
    """GDTR, IDTR: where a descriptor table lies (`pv_table`)."""

    base: int
    limit: int


class SystemSegment(Protocol):
    """TR, LDTR: a selector and what its descriptor said (`pv_segment`)."""

    selector: int
    base: int
    limit: int
    flags: int


class CpuState(Protocol):
    """One vCPU's virtual privileged state: `pv_cpu` of native/cpu_state.h, which both tiers work on."""

    cr0: int
    cr2: int
    cr3: int
    cr4: int
    efer: int
    pdpte: MutableSequence[int]
    dr: MutableSequence[int]
    gdtr: TableRegister
    idtr: TableRegister
    tr: SystemSegment
    ldtr: SystemSegment
    star: int
    lstar: int
    cstar: int
    fmask: int
    kernel_gs_base: int
    sysenter_cs: int
    sysenter_esp: int
    sysenter_eip: int
    tsc_offset: int
    tsc_adjust: int
    tsc_aux: int
    pat: int
    misc_enable: int
    xcr0: int
    cr4_offered: int
    has_tsc_aux: int
    iopl: int
    n_faults_there: int
    faults_at: int


CR4_OF_EVERY_MODEL = (
    CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT
)


def new_cpu_state(cpu: VirtualCpu = DEFAULT_CPU) -> CpuState:
    """The state in which PVH and multiboot enter a guest: 32-bit protected mode, unpaged."""
    state = cast(CpuState, ffi.new("pv_cpu *"))
    state.cr4_offered = CR4_OF_EVERY_MODEL
    state.cr4_offered |= CR4_PCIDE if "pcid" in cpu.features else 0
    state.cr4_offered |= CR4_OSXSAVE if "xsave" in cpu.features else 0
    state.has_tsc_aux = cpu.has_rdtscp
    state.xcr0 = XCR0_X87
    state.cr0 = CR0_PE | CR0_ET
    state.gdtr.limit = state.idtr.limit = 0xFFFF
    state.tr.limit, state.tr.flags = 0x67, 0x8B00
    state.dr[6], state.dr[7] = 0xFFFF_0FF0, 0x400
    state.pat = PAT_AT_RESET
    state.faults_at = (1 << 64) - 1
    state.misc_enable = MISC_ENABLE_AT_RESET
    return state


def is_long(state: CpuState) -> bool:
    """IA-32e mode: EFER.LMA."""
    return bool(state.efer & EFER_LMA)


def is_paged(state: CpuState) -> bool:
    """CR0.PG."""
    return bool(state.cr0 & CR0_PG)


def is_canonical(address: int) -> bool:
    """Are bits 63 to 47 equal? (SDM 1 3.3.7.1)"""
    return address >> 47 in (0, 0x1FFFF)


class GuestFault(Exception):  # noqa: N818 - an event of the guest, no error of ours
    """An exception that the guest must get: an x86 vector, an error code or None, and CR2 for #PF."""

    def __init__(self, vector: int, error_code: int | None = None, cr2: int | None = None) -> None:
        super().__init__(vector, error_code, cr2)
        self.vector = vector
        self.error_code = error_code
        self.cr2 = cr2
        self.at: int | None = None
        """RIP of the instruction that has it, where that is not the one being emulated (tasks.py)."""

    def of_task(self, rip: int) -> GuestFault:
        """The same, at the first instruction of a new task."""
        self.at = rip
        return self


DB, UD, NM, DF, TS, NP, SS_FAULT, GP, PF = 1, 6, 7, 8, 10, 11, 12, 13, 14
"""Vectors that the emulation itself raises."""


def general_protection(selector: int = 0) -> GuestFault:
    """#GP with a selector as error code (its RPL cleared), or 0."""
    return GuestFault(GP, selector & 0xFFFC)
