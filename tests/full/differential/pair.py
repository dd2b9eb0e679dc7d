# SPDX-License-Identifier: GPL-2.0-or-later
"""One instruction on both machines, and whether they agree.

The manual (Intel SDM) is the judge. Where the engine, which is QEMU 5.0's, is known to be wrong
(docs/emulation.md), exactly that is taken out of the comparison here or in the test; each with its section.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pvisor.cpu.vcpu import CS, GPR_NAMES, SEGMENT_NAMES, SS, Segment
from tests.full.differential import image
from tests.full.differential.machines import EmuMachine, FullMachine, Recorder, code_of
from tests.full.differential.state import End, Start

ACCESSED, LONG, DEFAULT_BIG = 1 << 8, 1 << 21, 1 << 22
SHOWN_FLAGS = 0x00F0_FF00 & ~ACCESSED
UNDEFINED_SYSTEM = {"dr6": 15}
"""Bits that are not compared. B0 to B3 may be set where no breakpoint is enabled, too (SDM 3B 17.2.3)."""
N_SLOTS = (image.SLOTS_END - image.SLOTS) // image.SLOT_BYTES
IDT_CODE, EXT = 2, 1
REFUSALS = ("not supported", "where there is no RAM", "cannot be emulated there")
"""What `full` says where it ends a domain by name."""


class Disagreement(AssertionError):  # noqa: N818 - what a test fails with
    """The machines differ; the text says in what."""


class Pair:
    """Both machines, with the same memory layout."""

    def __init__(self, tier: str) -> None:
        self._tier = tier
        self._full, self._emu = FullMachine(tier, Recorder()), EmuMachine(Recorder())
        self._slots: dict[bytes, int] = {}
        self.n_refused = 0

    def close(self) -> None:
        """Free the engines."""
        self._full.close()
        self._emu.close()

    def _slot_of(self, code: bytes) -> int:
        if code not in self._slots and len(self._slots) == N_SLOTS:
            self.close()
            self._full = FullMachine(self._tier, self._full.recorder)
            self._emu = EmuMachine(self._emu.recorder)
            self._slots = {}
        return self._slots.setdefault(code, len(self._slots))

    def run(self, start: Start) -> tuple[End, End]:
        """(in full, by the engine)"""
        slot = self._slot_of(code_of(start))
        full = self._full.run(start, slot)
        emu = self._emu.run(start, slot)
        if emu.ended:  # its delivery was left in the middle
            self._emu.close()
            self._emu = EmuMachine(self._emu.recorder)
        return full, emu

    def check(
        self,
        start: Start,
        *,
        nests: bool = False,
        undefined: tuple[int, int] | None = None,
        tables: Sequence[int] = (),
    ) -> End | None:
        """Run and compare: the end, or None where `full` refuses by name. Raises Disagreement.

        `nests`: a fault may come while an event is delivered. `undefined`: a register and the bits
        of it that are not compared. `tables`: entries whose accessed bit is not compared after a page
        fault, as the manual does not say whether a walk that faults sets it (SDM 3A 4.8).
        """
        full, emu = self.run(start)
        if any(refusal in full.ended for refusal in REFUSALS):
            self.n_refused += 1
            return None
        if full.ended or emu.ended:
            if not (full.ended.startswith("triple fault") and emu.ended.startswith("triple fault")):
                ends = f"full: {full.ended or 'goes on'}\nengine: {emu.ended or 'goes on'}"
                raise Disagreement(f"{describe(start)}\n{ends}")
            return None
        emu = _as_the_manual(start, full, emu, nests=nests)
        if full.system["cr2"]:
            emu = _with_accessed_of(emu, full, tables)
        found = differences(start, full, emu, undefined)
        if found:
            raise Disagreement("\n".join((describe(start), *found)))
        return full


def stack_top(end: End) -> int:
    """The linear address of the top of the stack."""
    stack, code = end.segments[SS], end.segments[CS]
    if code.flags & LONG and is_long(end):
        return end.gpr[4]
    mask = 0xFFFF_FFFF if stack.flags & DEFAULT_BIG else 0xFFFF
    return (end.gpr[4] & mask) + stack.base & 0xFFFF_FFFF


def _as_the_manual(start: Start, full: End, emu: End, *, nests: bool) -> End:
    """The engine's end, without the ways in which it is known to be wrong."""
    memory = bytearray(emu.memory)
    _correct_error_code(start, full, memory, nests=nests)
    _correct_accessed(start, full, memory)
    segments = list(emu.segments)
    if nests and start.mode.is_long and start.cpl == 0 and segments[SS].selector == 0:
        # SDM 2A, INT n: SS stays where the ring does, also with IST. The engine takes a null one.
        segments[SS] = start.segments[SS]
    code = segments[CS]
    if start.mode.is_long and code.flags & (LONG | DEFAULT_BIG) == LONG | DEFAULT_BIG:
        # SDM 2B, SYSEXIT: CS.D is 0 in 64-bit code. The engine sets it. (Tests load no descriptor with both.)
        segments[CS] = replace(code, flags=code.flags & ~DEFAULT_BIG)
    return replace(emu, memory=bytes(memory), segments=tuple(segments))


def _with_accessed_of(emu: End, full: End, tables: Sequence[int]) -> End:
    """The engine's end with the accessed bits of these entries as `full` has them."""
    memory = bytearray(emu.memory)
    for at in map(image.index_of, tables):
        memory[at] = memory[at] & ~image.A | full.memory[at] & image.A
    return replace(emu, memory=bytes(memory))


def _correct_error_code(start: Start, full: End, memory: bytearray, *, nests: bool) -> None:
    """SDM 3A 6.13: the vector stands in bits 3 to 15, also where a gate has 16 bytes. EXT is set where a
    fault comes while an event is delivered.
    """
    at = stack_top(full)
    if at + 4 > image.SLOTS:
        return
    ours, theirs = (int.from_bytes(data[at : at + 4], "little") for data in (full.memory, memory))
    right = theirs
    if start.mode.is_long and theirs & IDT_CODE and theirs < 0x1000:
        right = theirs >> 1 & 0x7F8 | theirs & 7
    if nests and ours & EXT:
        right |= EXT
    if ours == right and ours < 0x1_0000:
        memory[at : at + 4] = right.to_bytes(4, "little")


def _correct_accessed(start: Start, full: End, memory: bytearray) -> None:
    """SDM 3A 3.4.5.1: a load of CS or SS sets the accessed bit, also in a far transfer; and also when the
    next instruction's fetch faults, so that the selector now lies in the frame. Where a gate's stack cannot
    be written, its code segment has been marked before.
    """
    top = stack_top(full)
    saved = [int.from_bytes(full.memory[at : at + 2], "little") for at in range(top, top + 48, 4)]
    in_idt = [data for at, data in start.changes.items() if image.IDT <= at < image.TSS]
    gates = [int.from_bytes(data[2:4], "little") for data in in_idt]
    for selector in (full.segments[CS].selector, full.segments[SS].selector, *saved, *gates):
        at = (image.LDT if selector & 4 else image.GDT) + (selector & 0xFFF8) + 5
        if selector & 0xFFFC and selector < 0x1000 and full.memory[at] & 0x10:
            memory[at] |= full.memory[at] & 1


def differences(start: Start, full: End, emu: End, undefined: tuple[int, int] | None) -> list[str]:
    """What is not the same, a line each."""
    found = []
    for i, name in enumerate(GPR_NAMES):
        ours, theirs = full.gpr[i], emu.gpr[i]
        if undefined is not None and i == undefined[0]:
            ours, theirs = ours & ~undefined[1], theirs & ~undefined[1]
        if ours != theirs:
            found.append(f"{name}: full {ours:#x}, engine {theirs:#x}")
    for name, ours, theirs in (("RIP", full.rip, emu.rip), ("RFLAGS", full.rflags, emu.rflags)):
        if ours != theirs:
            found.append(f"{name}: full {ours:#x}, engine {theirs:#x}")
    for i, name in enumerate(SEGMENT_NAMES):
        one, other = (_shown(i, end.segments[i], is_long=is_long(full)) for end in (full, emu))
        if one != other:
            found.append(f"{name}: full {_text(one)}, engine {_text(other)}")
    for name in full.system:
        if (full.system[name] ^ emu.system[name]) & ~UNDEFINED_SYSTEM.get(name, 0):
            found.append(f"{name}: full {full.system[name]:#x}, engine {emu.system[name]:#x}")
    if full.memory != emu.memory:
        places = [i for i in range(len(full.memory)) if full.memory[i] != emu.memory[i]]
        for at in places[:12]:
            place = f"[{image.address_of(at):#x}]"
            found.append(f"{place}: full {full.memory[at]:#04x}, engine {emu.memory[at]:#04x}")
    if full.ioports != emu.ioports:
        found.append(f"I/O ports: full {full.ioports}, engine {emu.ioports}")
    return found


def is_long(end: End) -> bool:
    """Is the CPU in IA-32e mode?"""
    return bool(end.system["0xc0000080"] & 0x400)


def _shown(index: int, segment: Segment, *, is_long: bool) -> Segment:
    """What can be seen of a segment register."""
    if not segment.selector & 0xFFFC and index != CS:
        base = segment.base if index >= 4 else 0
        return Segment(segment.selector, base, 0, 0)
    flags = segment.flags & SHOWN_FLAGS & (~0 if is_long else ~LONG)
    if flags >> 13 & 3 == 1:  # the real ring 1 is the guest's ring 0; a guest's DPL 1 cannot be told from it
        flags &= ~(1 << 13)
    if index == CS:  # a conforming segment's DPL is nowhere to be seen once it is loaded
        flags &= ~(3 << 13)
    return Segment(segment.selector, segment.base, segment.limit, flags)


def _text(segment: Segment) -> str:
    return f"{segment.selector:#x} (base {segment.base:#x}, limit {segment.limit:#x}, {segment.flags:#x})"


def describe(start: Start) -> str:
    """A state in which the machines differ, so that it can be read."""
    segments = ", ".join(map("{} {}".format, SEGMENT_NAMES, map(_text, start.segments)))
    registers = ", ".join(map("{} {:#x}".format, GPR_NAMES, start.gpr))
    changes = ", ".join(f"[{at:#x}] = {data.hex()}" for at, data in start.changes.items())
    return (
        f"{start.mode.value}, ring {start.cpl}, {start.bits}-bit code {start.code.hex(' ')}\n"
        f"{registers}\nRFLAGS {start.rflags:#x}, "
        f"CR0 {start.cr0:#x}, CR3 {start.cr3:#x}, CR4 {start.cr4:#x}, EFER {start.efer:#x}\n"
        f"{segments}\nlimits: GDT {start.gdt_limit:#x}, IDT {start.idt_limit:#x}, "
        f"LDT {start.ldt_selector:#x} {start.ldt_limit:#x}, TSS {start.tss_limit:#x}\n"
        f"MSRs {({hex(k): hex(v) for k, v in start.msrs.items()})}\nmemory: {changes}"
    )
