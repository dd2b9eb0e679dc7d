# SPDX-License-Identifier: GPL-2.0-or-later
"""What the virtual CPU can do: one CPUID baseline for both wings that promises only what works.

The real (Unicorn) CPU's CR0, CR4 and EFER are fixed when the engine is opened (shim/engine.c): paging, write
protect, SSE and no-execute on; TSD and FSGSBASE off; OSXSAVE is a PC's own. Each bit that CPUID shows is
backed by those. Which CPU models there are is in models.py. Numbers are of SDM 2A, CPUID.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from pvisor.cpu.vcpu import RAX, RBX, RCX, RDX, Exit, Vcpu

U32_MAX = 0xFFFF_FFFF
PHYSICAL_BITS = 38
"""Guest-physical addresses end below the hypervisor's frames (machine/frames.py)."""
LINEAR_BITS = 48
TSC_HZ = 1_000_000_000
MHZ = 1_000_000

_VENDOR = (0x756E_6547, 0x6C65_746E, 0x4965_6E69)  # "Genu", "ntel", "ineI": EBX, ECX, EDX
_SIGNATURE = 0x0002_06A1  # family 6, model 0x2a: the Sandy Bridge that Unicorn plays (shim/engine.c)
_BRAND = b"pvisor virtual CPU @ 1.00GHz".ljust(48, b"\0")

FPU, TSC, MSR, PAE, CX8 = 1 << 0, 1 << 4, 1 << 5, 1 << 6, 1 << 8
PGE, CMOV, CLFSH, MMX, FXSR, SSE, SSE2, PSE = (
    1 << 13,
    1 << 15,
    1 << 19,
    1 << 23,
    1 << 24,
    1 << 25,
    1 << 26,
    1 << 3,
)
SSE3, PCLMULQDQ, SSSE3, CX16, SSE4_1, SSE4_2, POPCNT, AES = (
    1, 1 << 1, 1 << 9, 1 << 13, 1 << 19, 1 << 20, 1 << 23, 1 << 25)  # fmt: skip
PCID, XSAVE, OSXSAVE, HYPERVISOR = 1 << 17, 1 << 26, 1 << 27, 1 << 31
NX, GIB_PAGES, RDTSCP, LONG_MODE = 1 << 20, 1 << 26, 1 << 27, 1 << 29
LAHF64 = 1

XCR0_X87, XCR0_SSE = 1, 2
XSAVE_BYTES = 512 + 64
"""An XSAVE area with x87 and SSE: the legacy region and the header (SDM 1 13.4)."""
CR4_OSXSAVE = 1 << 18

_EDX_1 = FPU | PSE | TSC | MSR | PAE | CX8 | PGE | CMOV | CLFSH | MMX | FXSR | SSE | SSE2
_ECX_1 = SSE3 | PCLMULQDQ | SSSE3 | CX16 | SSE4_1 | SSE4_2 | POPCNT | AES

CpuidLeaf = tuple[int, int, int, int]
"""EAX, EBX, ECX, EDX."""


def _four(data: bytes) -> CpuidLeaf:
    a, b, c, d = (int.from_bytes(data[i : i + 4], "little") for i in (0, 4, 8, 12))
    return a, b, c, d


_BASE: Mapping[int, CpuidLeaf] = MappingProxyType(
    {
        0x0: (0x16, _VENDOR[0], _VENDOR[1], _VENDOR[2]),
        0x1: (_SIGNATURE, 0x0001_0800, _ECX_1, _EDX_1),  # CLFLUSH line of 8 * 8 bytes, one logical processor
        # TSC = crystal * EBX / EAX; the local APIC's timer counts the same crystal (SDM 3A 10.5.4).
        0x15: (1, 1, TSC_HZ, 0),
        0x16: (TSC_HZ // MHZ, TSC_HZ // MHZ, TSC_HZ // MHZ, 0),  # base, highest and reference frequency
        0x8000_0000: (0x8000_0008, 0, 0, 0),
        0x8000_0001: (0, 0, LAHF64, NX | GIB_PAGES | RDTSCP | LONG_MODE),
        0x8000_0002: _four(_BRAND[0:16]),
        0x8000_0003: _four(_BRAND[16:32]),
        0x8000_0004: _four(_BRAND[32:48]),
        0x8000_0007: (0, 0, 0, 1 << 8),  # the TSC is invariant
        0x8000_0008: (LINEAR_BITS << 8 | PHYSICAL_BITS, 0, 0, 0),
    }
)

APIC, SEP, MTRR, PAT, DE = 1 << 9, 1 << 11, 1 << 12, 1 << 16, 1 << 2
PSE36, SYSCALL = 1 << 17, 1 << 11
TSC_ADJUST = 1 << 1
_PC: Mapping[int, CpuidLeaf] = MappingProxyType(
    {
        0x1: (0, 0, 0, APIC | SEP | MTRR | PAT | DE | PSE36),
        0x7: (0, TSC_ADJUST, 0, 0),
        0x8000_0001: (0, 0, 0, SYSCALL),
    }
)
"""Bits that only a PC's CPU has, over those of _BASE."""


_XSAVE_LEAVES: Mapping[int, CpuidLeaf] = MappingProxyType(
    {0: (XCR0_X87 | XCR0_SSE, XSAVE_BYTES, XSAVE_BYTES, 0), 1: (1, 0, 0, 0)}
)
"""Leaf 0xD by sub-leaf: what XCR0 may have and how large an area is; XSAVEOPT."""


class CpuOfModel(Protocol):
    """A CPU of a model (models.py), as far as CPUID goes."""

    @property
    def signature(self) -> int:
        """EAX of leaf 1: family, model, stepping."""

    @property
    def ecx(self) -> int:
        """ECX of leaf 1."""

    @property
    def has_rdtscp(self) -> bool:
        """Is there RDTSCP, with IA32_TSC_AUX?"""


@dataclass(frozen=True, slots=True)
class CpuidTable:
    """CPUID of one domain: the baseline, and the leaves by which a guest finds the hypervisor, if it may."""

    hypervisor_leaves: Mapping[int, CpuidLeaf]
    is_pc: bool = False
    """Has the CPU what a PC has: a local APIC, MTRRs, SYSCALL and SYSENTER?"""
    cpu: CpuOfModel | None = None
    """A PC's CPU model; None: the baseline."""

    def leaf(self, leaf: int, subleaf: int = 0) -> CpuidLeaf:
        """EAX, EBX, ECX, EDX of a leaf. Beyond the highest: the highest basic leaf, as Intel's do."""
        if leaf == 0xD and self.cpu is not None and self.cpu.ecx & XSAVE:
            return _XSAVE_LEAVES.get(subleaf, (0, 0, 0, 0))
        if leaf == 7 and subleaf:
            return (0, 0, 0, 0)
        found = self._leaf(leaf)
        if self.cpu is None or leaf not in (1, 0x8000_0001):
            return found
        a, b, c, d = found
        if leaf == 1:
            return self.cpu.signature, b, self.cpu.ecx | c & HYPERVISOR, d
        return a, b, c, d if self.cpu.has_rdtscp else d & ~RDTSCP

    def _leaf(self, leaf: int) -> CpuidLeaf:
        if leaf in self.hypervisor_leaves:
            return self.hypervisor_leaves[leaf]
        if leaf in _BASE or (self.is_pc and leaf in _PC):
            a, b, c, d = _BASE.get(leaf, (0, 0, 0, 0))
            more = _PC.get(leaf, (0, 0, 0, 0)) if self.is_pc else (0, 0, 0, 0)
            shown = HYPERVISOR if leaf == 1 and self.hypervisor_leaves else 0
            return a | more[0], b | more[1], c | more[2] | shown, d | more[3]
        highest = _BASE[leaf & 0x8000_0000][0] if leaf < 0x4000_0000 or leaf >= 0x8000_0000 else 0
        return (0, 0, 0, 0) if leaf <= highest else _BASE[_BASE[0][0]]

    def answer(self, vcpu: Vcpu, exit: Exit, cr4: int = 0) -> None:
        """CPUID: the leaf that EAX asks for, and its sub-leaf that ECX does. OSXSAVE follows CR4."""
        gpr = vcpu.regs.gpr
        leaf = gpr[RAX] & U32_MAX
        exit.n_ops, exit.ops[0] = 1, leaf
        gpr[RAX], gpr[RBX], gpr[RCX], gpr[RDX] = self.leaf(leaf, gpr[RCX] & U32_MAX)
        if leaf == 1 and gpr[RCX] & XSAVE and cr4 & CR4_OSXSAVE:
            gpr[RCX] |= OSXSAVE


def answer_rdtsc(vcpu: Vcpu, exit: Exit, tsc: int) -> None:
    """RDTSC and RDTSCP: EDX:EAX = TSC; RDTSCP gives TSC_AUX, which is 0, in ECX as well (SDM 2B)."""
    gpr = vcpu.regs.gpr
    gpr[RAX], gpr[RDX] = tsc & U32_MAX, tsc >> 32
    if exit.value:
        gpr[RCX] = 0
