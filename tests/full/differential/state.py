# SPDX-License-Identifier: GPL-2.0-or-later
"""What the CPU is before an instruction and after it, as the guest sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pvisor.cpu.vcpu import CS, RSP, SS, Segment
from tests.full.differential.image import (
    CODE16,
    CODE32,
    CODE64,
    DATA0,
    FLAGS_OF,
    GDT,
    GDT_LIMIT,
    IDT,
    IDT_LIMIT,
    KERNEL_STACK,
    LDT_LIMIT,
    LDT_SELECTOR,
    TSS_LIMIT,
    USER_CODE16,
    USER_CODE32,
    USER_CODE64,
    USER_DATA,
    USER_STACK,
    Mode,
)  # fmt: skip

STATUS, TF, IF, IOPL, NT, RF, AC, ID = 0xCD5, 1 << 8, 1 << 9, 3 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 21
"""Flags. STATUS has DF as well."""

STAR, LSTAR, CSTAR, FMASK, KERNEL_GS_BASE = 0xC000_0081, 0xC000_0082, 0xC000_0083, 0xC000_0084, 0xC000_0102
SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP, EFER = 0x174, 0x175, 0x176, 0xC000_0080
MSRS = (EFER, STAR, LSTAR, CSTAR, FMASK, KERNEL_GS_BASE, SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP)


def flat(selector: int) -> Segment:
    """A segment register that holds one of the default descriptors."""
    return Segment(selector, 0, 0xFFFF_FFFF, FLAGS_OF[selector] | 0xF_0000)


@dataclass
class Start:
    """What the instruction finds. `changes` is laid over the default memory, by physical address."""

    mode: Mode
    code: bytes
    gpr: list[int]
    segments: list[Segment]
    rflags: int = 2
    cr0: int = 0
    cr4: int = 0
    efer: int = 0
    cr3: int = 0
    gdt_base: int = GDT
    gdt_limit: int = GDT_LIMIT
    idt_base: int = IDT
    idt_limit: int = IDT_LIMIT
    ldt_selector: int = LDT_SELECTOR
    ldt_limit: int = LDT_LIMIT
    tss_limit: int = TSS_LIMIT
    tss_16: bool = False
    msrs: dict[int, int] = field(default_factory=dict)
    changes: dict[int, bytes] = field(default_factory=dict)
    n_instructions: int = 2
    """So many may run: the one that is tried, and the jump behind it."""

    @property
    def cpl(self) -> int:
        """The ring."""
        return self.segments[CS].selector & 3

    @property
    def bits(self) -> int:
        """Width of the code: 16, 32 or 64."""
        flags = self.segments[CS].flags
        return 64 if flags & 1 << 21 and self.mode.is_long else 32 if flags & 1 << 22 else 16

    @property
    def mask(self) -> int:
        """Of the bits that a general register has in this code."""
        return (1 << 64) - 1 if self.bits == 64 else (1 << 32) - 1


def start(mode: Mode, code: bytes, *, ring: int = 0, bits: int = 0, gpr: list[int] | None = None) -> Start:
    """A usual state in a mode: flat segments, a stack of its own, interrupts off."""
    bits = bits or (64 if mode.is_long else 32)
    selectors = {(0, 16): CODE16, (0, 32): CODE32, (0, 64): CODE64,
                 (3, 16): USER_CODE16, (3, 32): USER_CODE32, (3, 64): USER_CODE64}  # fmt: skip
    data = flat(USER_DATA if ring else DATA0)
    segments = [data] * 6
    segments[CS] = flat(selectors[ring, bits])
    segments[SS] = data
    registers = list(gpr) if gpr is not None else [0] * 16
    registers[RSP] = (USER_STACK if ring else KERNEL_STACK) - 0x800
    return Start(mode, code, registers, segments, cr0=mode.cr0, cr4=mode.cr4, efer=mode.efer, cr3=mode.root)


@dataclass(frozen=True)
class End:
    """What it leaves. `ended` is "" or what a crash report would say."""

    gpr: tuple[int, ...]
    rip: int
    rflags: int
    segments: tuple[Segment, ...]
    system: Mapping[str, int]
    memory: bytes
    ioports: tuple[tuple[str, int, int, int], ...]
    ended: str = ""
