# SPDX-License-Identifier: GPL-2.0-or-later
"""The two machines: a guest of the left wing, and the engine's own CPU at ring 0 (the emulation lane).

Each is put into a state, runs one instruction, and is read out. A run ends where more instructions would be
executed than `Start.n_instructions`, which is at the first block of NOPs behind it.
"""

from __future__ import annotations

from typing import Protocol

from pvisor.cpu.exits import ExitReason
from pvisor.cpu.shim import ffi, lib
from pvisor.cpu.unicorn_engine import UnicornVcpu
from pvisor.cpu.vcpu import CS, DS, SS, Segment
from pvisor.domain.domain import Domain, Wing
from pvisor.domain.outcome import EndedBy
from pvisor.emu.cpu import EmuWing
from pvisor.emu.vcpu import EmulatedVcpu
from pvisor.full.cpu import FullWing
from pvisor.machine.frames import HypervisorFrames
from pvisor.machine.ioports import IoPortBus
from pvisor.machine.memory import GuestMemory
from pvisor.machine.mmio import MmioBus
from pvisor.vmm.config import DEFAULT_REMEDY, REMEDIES
from pvisor.vmm.loop import RunLoop
from tests.full.differential import image
from tests.full.differential.state import MSRS, End, Start, flat

N_FRAMES = 128
DR6_AT_RESET = 0xFFFF_0FF0
FIRST_IN_SLOT = 4
"""A gap before each instruction: it shall not stand right behind the block of another."""

_SETUP = bytes.fromhex(
    "bd00180000"  # mov ebp, PARAMETERS
    "0f20c0 25ffffff7f 0f22c0"  # paging off, and with it long mode
    "8b4514 0f22e0"  # mov cr4, [ebp + 0x14]
    "8b4518 0f22d8"  # mov cr3, [ebp + 0x18]
    "b9800000c0 8b451c 31d2 0f30"  # wrmsr EFER, [ebp + 0x1c]
    "0f22d2"  # mov cr2, 0
    "b8f00fffff 0f23f0"  # mov dr6, 0xffff0ff0
    "b800040000 0f23f8 31c0 0f23c0 0f23c8 0f23d0 0f23d8"  # mov dr7, 0x400; DR0 to DR3: 0
    "8b4520 0f22c0"  # mov cr0, [ebp + 0x20]
    "0f015500"  # lgdt [ebp]
    "0f005510 0f005d12"  # lldt [ebp + 0x10]; ltr [ebp + 0x12]
    "0f015d08 0f015528"  # lidt [ebp + 8]; lgdt [ebp + 0x28]
    "8d7530"  # lea esi, [ebp + 0x30]
    "8b0e 85c9 740d 8b4604 8b5608 0f30 83c60c ebed"  # wrmsr: [esi] of [esi + 4], until it is 0
    "f4"
)
_READ_OUT = bytes.fromhex(
    "bd001c0000"  # mov ebp, RESULTS
    "0f20c0 894500 0f20d0 894508 0f20d8 894510 0f20e0 894518"  # CR0, CR2, CR3, CR4
    "0f21f0 894520 0f21f8 894528"  # DR6, DR7
    "0f014530 0f014d40 0f004550 0f004d58"  # sgdt, sidt, sldt, str
    "be00190000 8d7d60"  # mov esi, the list of MSRs; lea edi, [ebp + 0x60]
    "8b0e 85c9 740f 0f32 8907 895704 83c604 83c708 ebeb"  # rdmsr, until the list ends
    "f4"
)
_READ_OUT_64 = bytes.fromhex(
    "bd001c0000"
    "0f20c0 48894500 0f20d0 48894508 0f20d8 48894510 0f20e0 48894518"
    "0f21f0 48894520 0f21f8 48894528"
    "0f014530 0f014d40 0f004550 0f004d58"
    "be00190000 8d7d60"
    "8b0e 85c9 740f 0f32 8907 895704 83c604 83c708 ebeb"
    "f4"
)
READ_OUT_AT, READ_OUT_64_AT, MSR_LIST_AT = image.SCRIPTS + 0x100, image.SCRIPTS + 0x200, 0x1900
MSR_FIELDS = (
    "star", "lstar", "cstar", "fmask", "kernel_gs_base", "sysenter_cs", "sysenter_esp", "sysenter_eip",
)  # fmt: skip
NAMES = ("cr0", "cr2", "cr3", "cr4", "dr6", "dr7")


class Recorder:
    """Every I/O port: it answers by what was asked before, and remembers all of it."""

    widest_bytes = 4

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int, int]] = []
        self.bus = IoPortBus()
        self.bus.attach(0, 0x10000, self)

    def read(self, offset: int, size_bytes: int) -> int:
        value = (offset * 0x9E37_79B1 + len(self.seen) * 0x85EB_CA77) >> 3 & (1 << 8 * size_bytes) - 1
        self.seen.append(("in", offset, size_bytes, value))
        return value

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        self.seen.append(("out", offset, size_bytes, value))


class Machine(Protocol):
    """One of the two."""

    def run(self, start: Start, slot: int) -> End:
        """Do it once."""

    def close(self) -> None:
        """Free the engine."""


def memory_of(start: Start) -> bytearray:
    """The memory below the code, at its start."""
    memory = bytearray(image.default_memory(start.mode))
    write_scripts(memory, start)
    for at, data in (*table_changes(start).items(), *start.changes.items()):
        if at < image.SLOTS:
            memory[at : at + len(data)] = data
    return memory


def table_changes(start: Start) -> dict[int, bytes]:
    """TSS and LDT descriptors by their limits and kinds."""
    wide = image.wide_descriptor if start.mode.is_long else image.descriptor
    tss_flags = image.TSS_BUSY_FLAGS & (~0x800 if start.tss_16 else ~0)
    return {
        image.GDT + image.TSS_SELECTOR: wide(image.TSS, start.tss_limit, tss_flags),
        image.GDT + image.LDT_SELECTOR: wide(image.LDT, start.ldt_limit, image.LDT_FLAGS),
    }


def code_of(start: Start) -> bytes:
    """What stands in a slot: the instruction, a jump that ends its block, NOPs, and an end of those."""
    code = start.code + (image.JMP_NEXT_16 if start.bits == 16 else image.JMP_NEXT)
    assert len(code) <= image.SLOT_BYTES - FIRST_IN_SLOT - 6
    return code.ljust(image.SLOT_BYTES - FIRST_IN_SLOT - 2, image.NOP) + image.JMP_SELF


def write_scripts(memory: bytearray, start: Start) -> None:
    """The scripts and their parameters: both machines have them, so that their memory is the same."""

    def put(at: int, data: bytes) -> None:
        memory[at : at + len(data)] = data

    put(image.SCRIPTS, _SETUP)
    put(READ_OUT_AT, _READ_OUT)
    put(READ_OUT_64_AT, _READ_OUT_64)
    put(MSR_LIST_AT, b"".join(index.to_bytes(4, "little") for index in (*MSRS, 0)))
    efer = start.efer & ~0x400
    words = {
        0x02: image.GDT, 0x0A: start.idt_base, 0x14: start.cr4, 0x18: start.cr3, 0x1C: efer,
        0x20: start.cr0, 0x2A: start.gdt_base,
    }  # fmt: skip
    halves = {0x00: 0xFF, 0x08: start.idt_limit, 0x10: start.ldt_selector, 0x12: image.TSS_SELECTOR,
              0x28: start.gdt_limit}  # fmt: skip
    for offset, value in words.items():
        put(image.PARAMETERS + offset, value.to_bytes(4, "little"))
    for offset, value in halves.items():
        put(image.PARAMETERS + offset, value.to_bytes(2, "little"))
    msrs = b"".join(
        index.to_bytes(4, "little") + value.to_bytes(8, "little")
        for index, value in {**dict.fromkeys(MSRS[1:], 0), **start.msrs}.items()
    )
    put(image.PARAMETERS + 0x30, msrs + bytes(4))


class _Bench:
    """What both have: memory, a domain, a run loop."""

    def __init__(self, memory: GuestMemory, vcpu: UnicornVcpu, wing: Wing, recorder: Recorder) -> None:
        self.memory, self.vcpu = memory, vcpu
        self.domain = Domain(1, "one instruction", memory, wing, [vcpu])
        self.recorder = recorder
        memory.write(image.SLOTS, image.NOP * (image.TABLES - image.SLOTS))
        self._has_tables = False
        self._loop = RunLoop(self.domain, vcpu, on_kick=lambda: None, drain_trace=lambda: None)

    def place(self, start: Start, slot: int) -> int:
        """The instruction into its slot, everything else as it shall be; RIP."""
        code = code_of(start)
        at = image.SLOTS + slot * image.SLOT_BYTES + FIRST_IN_SLOT
        if self.memory.read(at, 1) == image.NOP:
            self.memory.write(at, code)
        base = 0 if start.bits == 64 else start.segments[CS].base
        return at - base & (0xFFFF_FFFF_FFFF_FFFF if start.bits == 64 else 0xFFFF_FFFF)

    def write_memory(self, start: Start, memory: bytearray) -> None:
        """All of the memory but the code."""
        self.memory.write(0, memory)
        if self._has_tables:
            self.memory.write(image.TABLES, bytes(image.TABLES_END - image.TABLES))
        self._has_tables = False
        for at, data in start.changes.items():
            if at >= image.TABLES:
                self.memory.write(at, data)
                self._has_tables = True

    def go(self, start: Start) -> str:
        """Run; "" or the crash."""
        vcpu, domain = self.vcpu, self.domain
        self.recorder.seen.clear()
        domain.ending = None
        vcpu.v.budget = vcpu.v.insns + start.n_instructions
        ending = self._loop.run()
        return ending.reason if ending.ended_by is EndedBy.CRASH else ""

    def read_memory(self) -> bytes:
        """The memory below the code, and then the tables, if the test made some."""
        low = self.memory.read(0, image.SLOTS)
        if not self._has_tables:
            return low
        return low + self.memory.read(image.TABLES, image.TABLES_END - image.TABLES)


class FullMachine(_Bench):
    """The left wing, in one tier."""

    def __init__(self, tier: str, recorder: Recorder) -> None:
        memory = GuestMemory(image.MEMORY_BYTES)
        self._frames = HypervisorFrames(N_FRAMES)
        vcpu = UnicornVcpu(memory, self._frames)
        self.wing = FullWing(memory, self._frames, vcpu, recorder.bus, MmioBus())
        super().__init__(memory, vcpu, self.wing, recorder)
        vcpu.v.remedy = REMEDIES.index(DEFAULT_REMEDY)
        vcpu.v.mirror_if = 1
        self.wing.segments.start()
        if tier == "native":
            vcpu.enable_natives("full")

    def run(self, start: Start, slot: int) -> End:
        rip = self.place(start, slot)
        self.write_memory(start, memory_of(start))
        self._set_system(start)
        vcpu = self.vcpu
        for i, segment in enumerate(start.segments):
            vcpu.set_segment(i, _as_real(i, segment))
        for i, value in enumerate(start.gpr):
            vcpu.regs.gpr[i] = value
        vcpu.regs.rip = rip
        self.wing.interrupts.rflags = start.rflags
        vcpu.v.sti_insns = vcpu.v.rf_insns = (1 << 64) - 1
        ended = self.go(start)
        vcpu.complete()
        segments = tuple(vcpu.segment(i) for i in range(6))
        return End(
            tuple(vcpu.regs.gpr), vcpu.regs.rip, self.wing.interrupts.rflags, segments,
            self._system(), self.read_memory(), tuple(self.recorder.seen), ended,
        )  # fmt: skip

    def _set_system(self, start: Start) -> None:
        state = self.wing.state
        state.cr0, state.cr2, state.cr3, state.cr4 = start.cr0, 0, start.cr3, start.cr4
        state.efer = start.efer
        for i, entry in enumerate(self.wing.paging.read_pdptes(start.cr3 & 0xFFFF_FFE0)):
            state.pdpte[i] = entry
        for i, value in enumerate((0, 0, 0, 0, 0, 0, DR6_AT_RESET, 0x400)):
            state.dr[i] = value
        state.gdtr.base, state.gdtr.limit = start.gdt_base, start.gdt_limit
        state.idtr.base, state.idtr.limit = start.idt_base, start.idt_limit
        has_ldt = bool(start.ldt_selector & 0xFFFC)
        state.ldtr.selector, state.ldtr.base = start.ldt_selector, image.LDT if has_ldt else 0
        state.ldtr.limit, state.ldtr.flags = start.ldt_limit if has_ldt else 0, image.LDT_FLAGS
        state.tr.selector, state.tr.base, state.tr.limit = image.TSS_SELECTOR, image.TSS, start.tss_limit
        state.tr.flags = image.TSS_BUSY_FLAGS & (~0x800 if start.tss_16 else ~0)
        for name, index in zip(MSR_FIELDS, MSRS[1:], strict=True):
            setattr(state, name, start.msrs.get(index, 0))
        self.vcpu.set_cr0(start.cr0)
        self.vcpu.set_cr4(start.cr4)
        self.wing.paging.drop_all()
        self.wing.paging.switch()

    def _system(self) -> dict[str, int]:
        state = self.wing.state
        return {
            "cr0": state.cr0, "cr2": state.cr2, "cr3": state.cr3, "cr4": state.cr4,
            "dr6": state.dr[6], "dr7": state.dr[7],
            "gdt_base": state.gdtr.base, "gdt_limit": state.gdtr.limit,
            "idt_base": state.idtr.base, "idt_limit": state.idtr.limit,
            "ldtr": state.ldtr.selector, "tr": state.tr.selector,
            **{hex(index): self.wing.msrs.read(index, 0) for index in MSRS},
        }  # fmt: skip

    def close(self) -> None:
        self.vcpu.close()
        self._frames.close()


def _as_real(index: int, segment: Segment) -> Segment:
    """What the real register holds: the guest's ring 0 is the real ring 1."""
    dpl = segment.flags >> 13 & 3
    is_null = not segment.selector & 0xFFFC
    if is_null and index != SS:
        return Segment(segment.selector, segment.base, 0, 0)
    return segment if dpl else Segment(
        segment.selector, segment.base, segment.limit, segment.flags | 1 << 13
    )


class EmuMachine(_Bench):
    """The engine's own CPU. Scripts at ring 0 set it up and read it out."""

    def __init__(self, recorder: Recorder) -> None:
        memory = GuestMemory(image.MEMORY_BYTES)
        vcpu = EmulatedVcpu(memory)
        mmio = MmioBus()
        vcpu.map_devices(mmio, image.MEMORY_BYTES)
        super().__init__(memory, vcpu, EmuWing(vcpu, recorder.bus, mmio), recorder)

    def run(self, start: Start, slot: int) -> End:
        rip = self.place(start, slot)
        memory = memory_of(start)
        self.write_memory(start, memory)
        self._free_tables(start)
        self._script(image.SCRIPTS)
        self.write_memory(start, memory)
        vcpu = self.vcpu
        for i, segment in enumerate(start.segments):
            self._set_segment(i, segment)
        for i, value in enumerate(start.gpr):
            vcpu.regs.gpr[i] = value
        vcpu.regs.rip = rip
        vcpu.rflags = start.rflags
        ended = self.go(start)
        gpr, end_rip, rflags = tuple(vcpu.regs.gpr), vcpu.regs.rip, vcpu.rflags
        segments = tuple(vcpu.segment(i) for i in range(6))
        memory_end = self.read_memory()
        system = {} if ended else self._read_out(start)
        return End(
            gpr, end_rip, rflags, segments, system, memory_end, tuple(self.recorder.seen), ended
        )

    def _free_tables(self, start: Start) -> None:
        """LTR takes an available TSS and makes it busy."""
        at = image.GDT + image.TSS_SELECTOR
        for place, entry in table_changes(start).items():
            self.memory.write(place, entry)
        kind = self.memory.read(at + 5, 1)[0] & ~2
        self.memory.write(at + 5, bytes((kind,)))

    def _script(self, at: int, is_64bit: bool = False) -> None:
        vcpu = self.vcpu
        self._set_segment(CS, flat(image.CODE64 if is_64bit else image.CODE32))
        for i in (SS, DS):
            self._set_segment(i, flat(image.DATA0))
        vcpu.rflags = 2
        vcpu.regs.rip = at
        vcpu.v.budget = (1 << 64) - 1
        reason = ExitReason(vcpu.run())
        assert reason is ExitReason.HLT, f"the script at {at:#x}: {reason.name} at {vcpu.regs.rip:#x}"
        vcpu.complete()

    def _read_out(self, start: Start) -> dict[str, int]:
        self.memory.write(image.RESULTS, bytes(0x100))
        self._script(READ_OUT_AT)
        efer_at = image.RESULTS + 0x60
        if self.memory.read(efer_at, 2)[1] & 4:
            self.memory.write(image.RESULTS, bytes(0x100))
            self._script(READ_OUT_64_AT, is_64bit=True)

        def number(offset: int, n_bytes: int) -> int:
            return int.from_bytes(self.memory.read(image.RESULTS + offset, n_bytes), "little")

        return {
            **{name: number(8 * i, 8) for i, name in enumerate(NAMES)},
            "gdt_base": number(0x32, 8), "gdt_limit": number(0x30, 2),
            "idt_base": number(0x42, 8), "idt_limit": number(0x40, 2),
            "ldtr": number(0x50, 2), "tr": number(0x58, 2),
            **{hex(index): number(0x60 + 8 * i, 8) for i, index in enumerate(MSRS)},
        }  # fmt: skip

    def _set_segment(self, index: int, segment: Segment) -> None:
        fields = {"selector": segment.selector, "base": segment.base, "limit": segment.limit,
                  "flags": segment.flags}  # fmt: skip
        lib.pv_set_segment(self.vcpu.v, index, ffi.new("pv_segment *", fields))

    def close(self) -> None:
        self.vcpu.close()
