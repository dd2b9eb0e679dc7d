# SPDX-License-Identifier: GPL-2.0-or-later
"""The virtual CPU's privileged state: what the guest believes to have written.

The real CPU keeps its own (shim/engine.c). This room has no twin: a paravirtual guest has no privileged
state of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

CR0_PE, CR0_MP, CR0_EM, CR0_TS, CR0_ET, CR0_NE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5
CR0_WP, CR0_AM, CR0_NW, CR0_CD, CR0_PG = 1 << 16, 1 << 18, 1 << 29, 1 << 30, 1 << 31
CR4_TSD, CR4_DE, CR4_PSE, CR4_PAE, CR4_MCE, CR4_PGE = 1 << 2, 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 7
CR4_PCE, CR4_OSFXSR, CR4_OSXMMEXCPT = 1 << 8, 1 << 9, 1 << 10
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


@dataclass(frozen=True, slots=True)
class TableRegister:
    """GDTR, IDTR: where a descriptor table lies."""

    base: int = 0
    limit: int = 0xFFFF


@dataclass(frozen=True, slots=True)
class SystemSegment:
    """TR, LDTR: a selector and what its descriptor said."""

    selector: int = 0
    base: int = 0
    limit: int = 0


@dataclass(slots=True)
class CpuState:
    """One vCPU's virtual privileged state. At the start: as PVH enters a guest, 32-bit and unpaged."""

    cr0: int = CR0_PE | CR0_ET
    cr2: int = 0
    cr3: int = 0
    cr4: int = 0
    cr8: int = 0
    efer: int = 0
    iopl: int = 0
    gdtr: TableRegister = field(default_factory=TableRegister)
    idtr: TableRegister = field(default_factory=TableRegister)
    tr: SystemSegment = field(default_factory=lambda: SystemSegment(0, 0, 0x67))
    ldtr: SystemSegment = field(default_factory=SystemSegment)
    dr: list[int] = field(default_factory=lambda: [0, 0, 0, 0, 0, 0, 0xFFFF_0FF0, 0x400])
    kernel_gs_base: int = 0
    pat: int = PAT_AT_RESET
    tsc_offset: int = 0

    @property
    def is_long(self) -> bool:
        """IA-32e mode: EFER.LMA."""
        return bool(self.efer & EFER_LMA)

    @property
    def is_paged(self) -> bool:
        """CR0.PG."""
        return bool(self.cr0 & CR0_PG)


class GuestFault(Exception):  # noqa: N818 - an event of the guest, no error of ours
    """An exception that the guest must get: an x86 vector, an error code or None, and CR2 for #PF."""

    def __init__(self, vector: int, error_code: int | None = None, cr2: int | None = None) -> None:
        super().__init__(vector, error_code, cr2)
        self.vector = vector
        self.error_code = error_code
        self.cr2 = cr2


UD, DF, TS, NP, SS_FAULT, GP, PF = 6, 8, 10, 11, 12, 13, 14
"""Vectors that the emulation itself raises."""


def general_protection(selector: int = 0) -> GuestFault:
    """#GP with a selector as error code (its RPL cleared), or 0."""
    return GuestFault(GP, selector & 0xFFFC)
