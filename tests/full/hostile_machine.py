# SPDX-License-Identifier: GPL-2.0-or-later
"""A PC whose CPU state and memory a test may make as mad as it likes.

No compiler is needed: the kernel is a HLT, and the test writes code, tables and registers over it, or brings
its own. `check` looks at what must hold afterwards (isolation.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pvisor.cpu.vcpu import CS, DS, ES, FS, GS, SS, Segment
from pvisor.domain.outcome import EndedBy, Ending
from pvisor.full.cpu import FullWing
from pvisor.full.state import CR0_PE, CR0_PG, CR0_WP, CR4_PAE, EFER_LMA, EFER_LME, EFER_NXE, EFER_SCE
from pvisor.machine.console import ConsoleOutput, NoInput
from pvisor.machine.frames import HypervisorFrames
from pvisor.vmm import builder
from pvisor.vmm.builder import Machine, build
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.loop import RunLoop
from tests.full.isolation import Shadows
from tests.full.kernels import pvh_elf

P, W, U, A, D, PS, NX = 1, 2, 4, 0x20, 0x40, 0x80, 1 << 63
MEMORY_BYTES = 4 << 20
CODE, GDT, IDT, TSS, STACK, TABLES = 0x10_0000, 0x20_0000, 0x20_1000, 0x20_2000, 0x21_0000, 0x30_0000
CODE64, CODE32, DATA, USER32, USER_DATA, USER64, TASK, CODE16 = 0x08, 0x10, 0x18, 0x23, 0x2B, 0x33, 0x38, 0x48
DESCRIPTORS = (
    0, 0x00AF_9B00_0000_FFFF, 0x00CF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF, 0x00CF_FB00_0000_FFFF,
    0x00CF_F300_0000_FFFF, 0x00AF_FB00_0000_FFFF, 0x0000_8900_0000_0067 | TSS << 16, 0,
    0x0000_9B00_0000_FFFF,
)  # fmt: skip


class HostileMachine:
    """One machine, to be reset and run again and again. Close it."""

    def __init__(self, folder: Path, elf: bytes | None = None, n_frames: int = builder.FULL_FRAMES,
                 **settings: Any) -> None:  # fmt: skip
        kernel = folder / "kernel"
        kernel.write_bytes(pvh_elf() if elf is None else elf)
        settings.setdefault("memory_bytes", MEMORY_BYTES)
        self.console = ConsoleOutput()
        self._n_frames = n_frames
        with patch.object(builder, "HypervisorFrames", self._make_frames):
            config = DomainConfig(kernel, "full", **settings)
            self.machine: Machine = build(config, self.console, NoInput())
        self.domain, self.vcpu = self.machine.domain, self.machine.vcpu
        self.memory = self.domain.memory
        assert isinstance(self.domain.wing, FullWing)
        self.wing = self.domain.wing
        self.state = self.wing.state
        self.shadows = Shadows(self._frames, self.memory, self.vcpu)
        self.shadows = Shadows(self._frames, self.memory, self.vcpu)

    def close(self) -> None:
        """Free it."""
        self.machine.close()

    def _make_frames(self, n_frames: int) -> HypervisorFrames:
        self._frames = HypervisorFrames(self._n_frames)
        return self._frames

    # --- a state to begin with

    def write(self, gpa: int, data: bytes) -> None:
        """Guest memory, as a device of the host would write it."""
        self.wing.paging.host_write(gpa, data)

    def words(self, gpa: int, *values: int) -> None:
        """64-bit words."""
        self.write(gpa, b"".join(value.to_bytes(8, "little") for value in values))

    def usual_tables(self) -> None:
        """GDT, TSS, and an IDT whose gates all lead to a HLT."""
        self.words(GDT, *DESCRIPTORS)
        self.write(TSS, bytes(104))

    def enter(self, *, bits: int = 64, cpl: int = 0, cr3: int | None = None, rip: int = CODE,
              cr0: int = CR0_PE | CR0_WP, cr4: int = 0, efer: int = EFER_SCE | EFER_NXE,
              segments: Sequence[Segment] | None = None) -> None:  # fmt: skip
        """Set the CPU's state: paging is on where `cr3` is given; 64-bit code needs it."""
        state, vcpu = self.state, self.vcpu
        if cr3 is not None:
            cr0 |= CR0_PG
        if bits == 64:
            cr4, efer = cr4 | CR4_PAE, efer | EFER_LME | EFER_LMA
        state.cr0, state.cr3, state.cr4, state.efer = cr0, cr3 or 0, cr4, efer
        state.cr2 = state.iopl = 0
        for i in range(4):
            state.pdpte[i] = self.memory.read_u64_or_0((state.cr3 & 0xFFFF_FFE0) + 8 * i)
        state.gdtr.base, state.gdtr.limit = GDT, 8 * len(DESCRIPTORS) - 1
        state.idtr.base, state.idtr.limit = IDT, 0xFFF
        state.tr.selector, state.tr.base, state.tr.limit, state.tr.flags = TASK, TSS, 0x67, 0x8B00
        state.ldtr.selector = 0
        vcpu.set_cr0(cr0)
        vcpu.set_cr4(cr4)
        dpl = 3 if cpl else 1
        code = {64: 0x00A0_9B00, 32: 0x00C0_9B00, 16: 0x9B00}[bits] | dpl << 13
        selector = {64: USER64 if cpl else CODE64, 32: USER32 if cpl else CODE32, 16: CODE16}[bits]
        vcpu.set_segment(CS, Segment(selector, 0, 0xFFFF_FFFF if bits != 16 else 0xFFFF, code))
        data = Segment(USER_DATA if cpl else DATA, 0, 0xFFFF_FFFF, 0x00C0_9300 | dpl << 13)
        for index in (SS, DS, ES, FS, GS):
            vcpu.set_segment(index, data)
        vcpu.rflags = 2
        vcpu.virtual_if = False
        vcpu.regs.rip = rip
        self.wing.paging.drop_all()
        self.wing.paging.switch()

    # --- running

    def run(self, n_insns: int = 2000) -> Ending:
        """Run for so many instructions at most. What ends a domain is no error; an exception of ours is."""
        self.domain.ending = None
        self.vcpu.v.budget = self.vcpu.n_instructions + n_insns
        loop = RunLoop(self.domain, self.vcpu, on_kick=lambda: None, drain_trace=lambda: None)
        ending = loop.run()
        self.vcpu.complete()
        assert ending.ended_by is not EndedBy.CRASH or ending.reason
        assert self.vcpu.cpl in (1, 3)
        return ending

    # --- what must hold

    def check(self) -> None:
        """The shadows are those of an isolated guest."""
        self.shadows.check()
