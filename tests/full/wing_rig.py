# SPDX-License-Identifier: GPL-2.0-or-later
"""A PC's CPU with a few pages of RAM, put into any state by hand: for native handlers beside their twins.

All RAM that holds nothing else is HLT, so that whatever a guest jumps to, it stops there.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from pvisor.cpu.engine_start import native_names
from pvisor.cpu.exits import ExitReason
from pvisor.cpu.shim import ffi
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import CS, DS, ES, FS, GS, RSP, SS, Segment
from pvisor.domain.domain import Domain
from pvisor.domain.outcome import Outcome
from pvisor.errors import DomainCrash
from pvisor.full.cpu import FullWing
from pvisor.machine.frames import HypervisorFrames
from pvisor.machine.ioports import IoPortBus
from pvisor.machine.memory import GuestMemory
from pvisor.machine.mmio import MmioBus

MEMORY_BYTES = 1 << 20
TABLES = 0x1000
"""Four pages at most: the top table first."""
GDT, IDT, TSS, LDT = 0x8000, 0x9000, 0xA000, 0xB000
KERNEL, USER = 0x1_0000, 0x2_0000
"""Pages of code. The instruction under test is at +0x800."""
KERNEL_STACK, SPARE_STACK, USER_STACK, DATA = 0x3_1000, 0x3_9000, 0x4_1000, 0x5_0800
"""Stacks grow down into the page below; the page that begins there is another one of theirs."""
UNMAPPED = 0x7_0000
NOT_CANONICAL = 1 << 47
BUDGET = 60
HLT = 0xF4

MODES = ("long", "pae", "legacy", "unpaged")
P, W, U, A, D, NX = 1, 2, 4, 1 << 5, 1 << 6, 1 << 63
CR0 = {"long": 0x8001_0031, "pae": 0x8001_0031, "legacy": 0x8001_0031, "unpaged": 0x31}
CR4 = {"long": 0x6A0, "pae": 0x6A0, "legacy": 0x690, "unpaged": 0x600}
EFER = {"long": 0xD01, "pae": 0x800, "legacy": 0, "unpaged": 0}


def descriptor(access: int, flags: int, base: int = 0, limit: int = 0xF_FFFF) -> int:
    """An entry of GDT or LDT (SDM 3A 3.4.5): `access` is its byte 5, `flags` the upper half of byte 6."""
    return (limit & 0xFFFF | (base & 0xFF_FFFF) << 16 | access << 40
            | (limit >> 16 & 0xF) << 48 | flags << 52 | (base >> 24 & 0xFF) << 56)  # fmt: skip


CODE0, DATA0, CODE32_0, DATA3, CODE3, CODE32_3 = 0x08, 0x10, 0x18, 0x20, 0x28, 0x30
"""Selectors that every table has; in protected mode the "64-bit" ones are of 32 bits as well."""


def usual_gdt(is_long: bool) -> list[int]:
    """Null, kernel and user code and data, and what is out of the ordinary, from selector 0x38 on."""
    wide = 0xA if is_long else 0xC
    return [
        0, descriptor(0x9B, wide), descriptor(0x93, 0xC), descriptor(0x9B, 0xC),
        descriptor(0xF3, 0xC), descriptor(0xFB, wide), descriptor(0xFB, 0xC),
        descriptor(0x9F, wide), descriptor(0x92, 0xC), descriptor(0x9A, wide), descriptor(0x13, 0xC),
        descriptor(0x93, 0x0), descriptor(0x9B, 0x4, 0, 0xFF), descriptor(0xFF, wide), descriptor(0xF2, 0xC),
        descriptor(0xFA, wide), descriptor(0xF1, 0xC), descriptor(0x93, 0xC, 0x2_0000), descriptor(0x9B, 0xE),
        descriptor(0xB3, 0xC), descriptor(0x89, 0x0), descriptor(0xF9, 0xC),
    ]  # fmt: skip


def gate(target: int, selector: int, access: int, ist: int, is_long: bool) -> bytes:
    """An entry of the IDT (SDM 3A figures 6-2 and 6-8)."""
    low = target & 0xFFFF | selector << 16 | ist << 32 | access << 40 | (target >> 16 & 0xFFFF) << 48
    return struct.pack("<QQ", low, target >> 32) if is_long else struct.pack("<Q", low)


@dataclass
class Start:
    """The state in which an instruction is run; what is not given is plain."""

    insn: bytes
    mode: str = "long"
    user: bool = False
    code: int | None = None
    """The selector of the code that runs, if not the usual one of its ring."""
    data: int = DATA3
    """The selector in DS."""
    gpr: Mapping[int, int] = field(default_factory=dict)
    rflags: int = 2
    virtual_if: bool = False
    iopl: int = 0
    stack: Sequence[int] = ()
    """Words at RSP, of `word_bytes` each."""
    word_bytes: int = 8
    gdt: Sequence[int] = ()
    """Entries behind the usual ones."""
    ldt: Sequence[int] = ()
    gates: Mapping[int, tuple[int, int, int, int]] = field(default_factory=dict)
    """Vector -> (target, selector, access byte, IST), over those that lead to 64-bit kernel code."""
    pages: Mapping[int, int] = field(default_factory=dict)
    """Page -> bits of its entry that are turned over."""
    tables: Mapping[int, int] = field(default_factory=dict)
    """Level, 0 for the top table -> bits that are turned over of its entry, which leads to the next table."""
    large: bool = False
    """One large page in place of the last table."""
    tss: Mapping[int, int] = field(default_factory=dict)
    """Offset -> 32-bit word."""
    tss_limit: int = 0x67
    idt_limit: int = 0xFFF
    gdt_limit: int | None = None
    """That of the whole table, if it is not given."""
    cr0: int = 0
    cr4: int = 0
    """Bits that are turned over."""
    fields: Mapping[str, int] = field(default_factory=dict)
    """More fields of the CPU state."""
    nmi_pending: bool = False
    nmi_blocked: bool = False
    interrupt: int | None = None
    """A vector that a device asks for."""


class _Device:
    def __init__(self, vcpu: UnicornVcpu, vector: int) -> None:
        self._vcpu = vcpu
        self._vector = vector

    def acknowledge(self) -> int:
        self._vcpu.v.event_pending = 0
        return self._vector


class _Domain:
    ending = None


class WingRig:
    """One engine, in the state of a Start."""

    def __init__(self, start: Start) -> None:
        self.start = start
        self.is_long = start.mode == "long"
        self.memory = GuestMemory(MEMORY_BYTES)
        self.memory.write(0, bytes([HLT]) * MEMORY_BYTES)
        self.frames = HypervisorFrames(256)
        self.vcpu = UnicornVcpu(self.memory, self.frames)
        self.wing = FullWing(self.memory, self.frames, self.vcpu, IoPortBus(), MmioBus())
        self.vcpu.v.remedy = self.vcpu.v.mirror_if = 1
        self._lay_out_tables()
        self._lay_out_descriptors()
        self._set_registers()
        self._turn_over()
        if start.mode == "pae":
            for i, entry in enumerate(self.wing.paging.read_pdptes(TABLES)):
                self.wing.state.pdpte[i] = entry
        for name, value in start.fields.items():
            setattr(self.wing.state, name, value)
        if start.gdt_limit is not None:
            self.wing.state.gdtr.limit = start.gdt_limit

    def close(self) -> None:
        self.vcpu.close()
        self.frames.close()

    def _lay_out_tables(self) -> None:
        """The RAM at its own addresses, all pages for everybody; pages of code are not writable."""
        if self.start.mode == "unpaged":
            return
        last = self._n_levels - 1
        for level in range(last + 1):
            self.memory.write(TABLES + 0x1000 * level, bytes(4096))
        for level in range(last):
            bits = P if self._n_levels == 3 and not level else P | W | U | A
            self._set_entry(level, 0, TABLES + 0x1000 * (level + 1) | bits)
        if self.start.large:
            self._set_entry(last - 1, 0, P | W | U | 1 << 7)
        for page in range(0, MEMORY_BYTES + 0x2000, 0x1000):
            is_code = page in (KERNEL, USER)
            bits = P | U | A | (0 if is_code else W | D) | (0 if is_code or last == 1 else NX)
            self._set_entry(last, page // 0x1000, 0 if page == UNMAPPED else page | bits)

    @property
    def _n_levels(self) -> int:
        return {"long": 4, "pae": 3, "legacy": 2, "unpaged": 0}[self.start.mode]

    def _set_entry(self, level: int, index: int, entry: int) -> None:
        width = 4 if self._n_levels == 2 else 8
        raw = (entry & (1 << 8 * width) - 1).to_bytes(width, "little")
        self.memory.write(TABLES + 0x1000 * level + index * width, raw)

    def _turn_over(self) -> None:
        """What the start wants otherwise of the tables."""
        if self.start.mode == "unpaged":
            return
        changes = [(level, 0, bits) for level, bits in self.start.tables.items()]
        changes += [(self._n_levels - 1, page // 0x1000, bits) for page, bits in self.start.pages.items()]
        width = 4 if self._n_levels == 2 else 8
        for level, index, bits in changes:
            raw = self.memory.read(TABLES + 0x1000 * level + index * width, width)
            self._set_entry(level, index, int.from_bytes(raw, "little") ^ bits)

    def _lay_out_descriptors(self) -> None:
        start, memory = self.start, self.memory
        self.gdt = [*usual_gdt(self.is_long), *start.gdt]
        memory.write(GDT, struct.pack(f"<{len(self.gdt)}Q", *self.gdt))
        memory.write(LDT, struct.pack(f"<{len(start.ldt)}Q", *start.ldt))
        for vector in range(0x40):
            plain = (KERNEL + 0x100 + vector, CODE0, 0x8E, 0)
            raw = gate(*start.gates.get(vector, plain), self.is_long)
            memory.write(IDT + len(raw) * vector, raw)
        words = {4: KERNEL_STACK, 8: 0 if self.is_long else DATA0, 0x24: SPARE_STACK, 0x28: 0}
        words |= {0xC: 0, **start.tss}
        memory.write(TSS, bytes(0x100))
        for offset, word in words.items():
            memory.write(TSS + offset, struct.pack("<I", word))

    def _set_registers(self) -> None:
        start, vcpu, state = self.start, self.vcpu, self.wing.state
        state.cr0, state.cr4 = CR0[start.mode] ^ start.cr0, CR4[start.mode] ^ start.cr4
        state.efer, state.cr3 = EFER[start.mode], TABLES
        for i, entry in enumerate(self.wing.paging.read_pdptes(TABLES) if start.mode == "pae" else ()):
            state.pdpte[i] = entry
        state.gdtr.base, state.gdtr.limit = GDT, 8 * len(self.gdt) - 1
        state.idtr.base, state.idtr.limit = IDT, start.idt_limit
        state.tr.selector, state.tr.base, state.tr.limit, state.tr.flags = 0x38, TSS, start.tss_limit, 0x8B00
        state.ldtr.selector = 0x40 if start.ldt else 0
        state.ldtr.base, state.ldtr.limit, state.ldtr.flags = LDT, 8 * len(start.ldt) - 1 & 0xFFFF, 0x8200
        state.sysenter_cs, state.sysenter_esp, state.sysenter_eip = CODE0, KERNEL_STACK, KERNEL + 0x200
        state.star, state.lstar, state.fmask = CODE0 << 32 | (CODE3 - 16 | 3) << 48, KERNEL + 0x300, 0x4_7700
        vcpu.set_cr0(state.cr0)
        vcpu.set_cr4(state.cr4)
        vcpu.set_gdtr(0, 0)
        self.wing.paging.switch()
        ring = 3 if start.user else 0
        code = start.code if start.code is not None else CODE3 if start.user else CODE0
        stack = DATA3 if start.user else DATA0
        for index, selector in ((CS, code), (SS, stack), (DS, start.data), (ES, DATA0)):
            self._load(index, selector | ring if index in (CS, SS) else selector)
        for index in (FS, GS):
            vcpu.set_segment(index, Segment(0, 0, 0, 0))
        at = (USER if start.user else KERNEL) + 0x800
        self.memory.write(at, start.insn)
        vcpu.regs.rip = at
        gpr = vcpu.regs.gpr
        for i in range(16):
            gpr[i] = start.gpr.get(i, 0)
        gpr[RSP] = start.gpr.get(RSP, (USER_STACK if start.user else KERNEL_STACK) - 0x100)
        mask = (1 << 8 * start.word_bytes) - 1
        words = b"".join((word & mask).to_bytes(start.word_bytes, "little") for word in start.stack)
        if words and gpr[RSP] + len(words) <= MEMORY_BYTES:
            self.memory.write(gpr[RSP], words)
        flags = start.rflags & ~0x3200 | start.iopl << 12
        self.wing.interrupts.rflags = flags | (0x200 if start.virtual_if else 0)
        if flags & 1 << 16:
            self.wing.interrupts.resume(0)
        vcpu.v.nmi_pending, vcpu.v.nmi_blocked = start.nmi_pending, start.nmi_blocked
        vcpu.v.budget = BUDGET
        if start.interrupt is not None:
            self.wing.interrupt_source = _Device(vcpu, start.interrupt)
            vcpu.v.event_pending = 1

    def _load(self, index: int, selector: int) -> None:
        """A segment register as the wing would load it, without its checks."""
        segments = self.wing.segments
        found = segments.find_descriptor(selector)
        assert found is not None
        real_dpl = (3 if self.start.user else 1) if index in (CS, SS) else None
        self.vcpu.set_segment(index, segments.shadow(selector, found, real_dpl))

    # --- running

    def run(self, natives: Sequence[str] = ()) -> str:
        """Run to HLT in ring 0, a crash or the budget; how it ended."""
        vcpu, domain = self.vcpu, cast(Domain, _Domain())
        vcpu.enable_natives("full", but=[name for name in native_names("full") if name not in natives])
        vcpu.on_hook_exit = lambda: self._serve(domain) is not Outcome.RESUME
        vcpu.start_trace()
        while True:
            reason = ExitReason(vcpu.run())
            if reason in (ExitReason.HLT, ExitReason.BUDGET, ExitReason.VM86):
                return reason.name
            assert reason is not ExitReason.ENGINE_ERROR, vcpu.error
            if reason is ExitReason.TRACE_FULL:
                return reason.name
            try:
                self._serve(domain)
            except DomainCrash as crash:
                return str(crash)

    def _serve(self, domain: Domain) -> Outcome:
        return self.wing.handlers[self.vcpu.exit.reason](domain, self.vcpu, self.vcpu.exit)

    def facts(self, natives: Sequence[str] = ()) -> dict[str, Any]:
        """All that a run leaves behind, but for host facts."""
        end = self.run(natives)
        vcpu = self.vcpu
        vcpu.complete()
        records = [
            (ExitReason(x.reason).name, x.virtual_ns, x.rip, x.outcome, x.result, *list(x.ops)[: x.n_ops])
            for x in vcpu.trace_records()
        ]
        return {
            "end": end,
            "rip": vcpu.regs.rip,
            "registers": tuple(vcpu.regs.gpr),
            "rflags": (vcpu.rflags, self.wing.interrupts.rflags, vcpu.virtual_if),
            "segments": tuple(vcpu.segment(i) for i in range(6)),
            "cpu": bytes(ffi.buffer(self.wing.state)),
            "insns": (vcpu.n_instructions, vcpu.v.sti_insns, vcpu.v.rf_insns),
            "nmi": (vcpu.v.nmi_pending, vcpu.v.nmi_blocked),
            "cpl": vcpu.cpl,
            "records": records,
            "memory": self.memory.read(0, MEMORY_BYTES),
        }

    def n_native(self) -> dict[str, int]:
        """Exits that native handlers have served, by reason."""
        return {ExitReason(i).name: c.native for i, c in enumerate(self.vcpu.v.counters) if c.native}


def served_alike(start: Start, natives: Sequence[str]) -> dict[str, int]:
    """Run a start in both tiers; they must leave the same. Gives what the native handlers served."""
    python, native = WingRig(start), WingRig(start)
    try:
        expected, found = python.facts(), native.facts(natives)
        for fact, value in expected.items():
            if fact == "memory" and value != found[fact]:
                at = next(i for i in range(MEMORY_BYTES) if value[i] != found[fact][i])
                raise AssertionError(f"memory differs at {at:#x}")
            assert found[fact] == value, fact
        return native.n_native()
    finally:
        python.close()
        native.close()
