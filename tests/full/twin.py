# SPDX-License-Identifier: GPL-2.0-or-later
"""One instruction twice: by the engine on RAM, and by MmioEmulation with a device in the middle page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pvisor.cpu.decode import decode
from pvisor.cpu.exits import ExitReason
from pvisor.cpu.vcpu import CS, SS
from pvisor.full.address_space import AddressSpace
from pvisor.full.flags import DF, STATUS
from pvisor.full.mmio import MmioEmulation
from pvisor.machine.memory import PAGE_BYTES, GuestMemory
from pvisor.machine.mmio import MmioBus
from tests.cpu.rig import CODE, CODE32, HLT, STACK, STACK32, Rig
from tests.domain.fakes import FakeExit

FIRST, DEVICE, LAST = 0xC000, 0xD000, 0xE000
"""Three pages: RAM, a device, RAM. They can be reached by 16-bit addresses, too."""
AREA = slice(FIRST, LAST + PAGE_BYTES)
OSFXSR = 1 << 9
SLOT_BYTES = 32
N_SLOTS = 8 * PAGE_BYTES // SLOT_BYTES - 1


class MemoryDevice:
    """A device that behaves like memory: its page of the same GuestMemory."""

    widest_bytes = 8

    def __init__(self, memory: GuestMemory) -> None:
        self._memory = memory

    def read(self, offset: int, size_bytes: int) -> int:
        assert offset % size_bytes == 0 and offset + size_bytes <= PAGE_BYTES
        return int.from_bytes(self._memory.read(DEVICE + offset, size_bytes), "little")

    def write(self, offset: int, size_bytes: int, value: int) -> None:
        assert offset % size_bytes == 0 and offset + size_bytes <= PAGE_BYTES
        self._memory.write(DEVICE + offset, value.to_bytes(size_bytes, "little"))


class Ram:
    """All of the memory but one page."""

    def __init__(self, memory: GuestMemory) -> None:
        self.read = memory.read
        self.write = memory.write

    def is_ram(self, gpa: int) -> bool:
        return gpa // PAGE_BYTES != DEVICE // PAGE_BYTES


@dataclass(frozen=True)
class Start:
    """What the instruction finds: general registers, status flags and DF, three pages of memory, XMM3."""

    gpr: Sequence[int]
    flags: int = 0
    memory: bytes = b""
    vector: int = 0


@dataclass(frozen=True)
class End:
    """What it leaves."""

    gpr: tuple[int, ...]
    flags: int
    rip: int
    memory: bytes
    stack: bytes
    vector: int


class Twin:
    """The engine, and the emulation on the engine's registers."""

    def __init__(self, bits: int = 64) -> None:
        self._bits = bits
        self._open()

    def _open(self) -> None:
        self._rig = Rig()
        self._rig.vcpu.set_cr4(OSFXSR)
        if self._bits == 32:
            self._rig.vcpu.set_segment(CS, CODE32)
            self._rig.vcpu.set_segment(SS, STACK32)
        self._n_used = 0
        bus = MmioBus()
        bus.attach(DEVICE, PAGE_BYTES, MemoryDevice(self._rig.memory))
        space = AddressSpace(lambda address, write: address, Ram(self._rig.memory), bus)
        self._emulation = MmioEmulation(self._rig.vcpu, space, self._rig.vcpu)

    def close(self) -> None:
        self._rig.close()

    def _set(self, start: Start, rip: int) -> None:
        rig = self._rig
        for i, value in enumerate(start.gpr):
            rig.regs.gpr[i] = value
        rig.regs.rip = rip
        rig.vcpu.rflags = rig.vcpu.rflags & ~(STATUS | DF) | start.flags
        rig.memory.write(FIRST, start.memory.ljust(AREA.stop - AREA.start, b"\x5a"))
        rig.memory.write(STACK - 64, bytes(range(128)))
        rig.vcpu.set_vector(3, start.vector)

    def _end(self) -> End:
        rig = self._rig
        area = rig.memory.read(AREA.start, AREA.stop - AREA.start)
        flags = rig.vcpu.rflags & (STATUS | DF)
        stack = rig.memory.read(STACK - 64, 128)
        return End(tuple(rig.regs.gpr), flags, rig.regs.rip, area, stack, rig.vcpu.vector(3))

    def run(self, code: bytes, start: Start) -> tuple[End, End]:
        """(natively, emulated). The code is not cleared: each instruction has its own place."""
        if self._n_used == N_SLOTS:
            self.close()
            self._open()
        rip = CODE + self._n_used * SLOT_BYTES
        self._n_used += 1
        self._rig.memory.write(rip, code + HLT)
        self._set(start, rip)
        reason = self._rig.run()
        assert reason is ExitReason.HLT, f"{code.hex(' ')}: {reason.name}"
        native = self._end()
        self._set(start, rip)
        self._emulate(code, rip)
        return native, self._end()

    def _emulate(self, code: bytes, rip: int) -> None:
        insn = decode(code, self._bits)
        assert insn is not None and insn.n_bytes == len(code), code.hex(" ")
        exit = FakeExit(rip=rip, cr2=DEVICE).at(code)
        for _ in range(100):
            after = self._emulation.emulate(exit, insn, rip + len(code))
            self._rig.regs.rip = after
            if after != rip:
                return
        raise AssertionError("it does not end")
