# SPDX-License-Identifier: GPL-2.0-or-later
"""The random guests of tests/full/hostile_code.py as kernels that set up their state by themselves.

In the lane the CPU's state is the engine's, so it is the guest that loads it: from sane tables, and the
hostile ones last.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pvisor.full.state import CR0_PG, CR4_PAE, EFER_LME, EFER_NXE, EFER_SCE
from tests.full import hostile_machine as h
from tests.full.kernels import MIB, PVH_NOTE
from tests.full.paging_storm import le
from tests.machine.elf_bytes import Elf, Part

START, SANE_GDT, POINTERS = 0x11_0000, 0x11_1000, 0x11_1800
END = h.TABLES + 0x8000
EFER, STAR, LSTAR, FMASK = 0xC000_0080, 0xC000_0081, 0xC000_0082, 0xC000_0084
SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP = 0x174, 0x175, 0x176


def _table() -> SimpleNamespace:
    return SimpleNamespace(selector=0, base=0, limit=0)


class HostileKernel:
    """Takes what a machine takes, and makes a file of it."""

    def __init__(self) -> None:
        self._memory = bytearray(h.MEMORY_BYTES)
        self.state: Any = SimpleNamespace(gdtr=_table(), idtr=_table(), tr=_table(), ldtr=_table())
        self.vcpu: Any = SimpleNamespace(regs=SimpleNamespace(gpr=[0] * 16), virtual_if=False, rflags=2)
        self._bits, self._cpl, self._rip, self._cr = 32, 0, 0, (0, 0, 0)

    def write(self, gpa: int, data: bytes) -> None:
        """What shall be in memory."""
        self._memory[gpa : gpa + len(data)] = data

    def words(self, gpa: int, *values: int) -> None:
        """64-bit words."""
        self.write(gpa, b"".join(le(value, 8) for value in values))

    def enter(self, *, bits: int, cpl: int, cr3: int | None, rip: int, cr0: int, cr4: int) -> None:
        """The state that the code of the kernel shall load."""
        self._bits, self._cpl, self._rip = max(bits, 32), cpl, rip
        if bits == 64:
            cr4 |= CR4_PAE
        self._cr = (cr0 | (0 if cr3 is None else CR0_PG), cr3 or 0, cr4)
        self.state.gdtr.base, self.state.gdtr.limit = h.GDT, 8 * len(h.DESCRIPTORS) - 1
        self.state.idtr.base, self.state.idtr.limit = h.IDT, 0xFFF

    def elf(self) -> bytes:
        """The file, entered by PVH."""
        self.words(SANE_GDT, *h.DESCRIPTORS)
        state = self.state
        for i, (limit, base) in enumerate(
            ((0x7F, SANE_GDT), (state.idtr.limit, state.idtr.base), (state.gdtr.limit, state.gdtr.base))
        ):
            self.write(POINTERS + 16 * i, le(limit, 2) + le(base, 8))
        self.write(START, self._code())
        parts = [Part(bytes(self._memory[MIB:END]), vaddr=MIB, flags=7),
                 Part(PVH_NOTE.data[:-4] + le(START, 4), kind=PVH_NOTE.kind, flags=4)]  # fmt: skip
        return bytes(Elf(parts, entry=START))

    def _code(self) -> bytes:
        cr0, cr3, cr4 = self._cr
        long, state = self._bits == 64, self.state
        code = b"\x0f\x01\x15" + le(POINTERS, 4)  # lgdt, the sane one
        for index, value in (
            (STAR, state.star), (LSTAR, state.lstar), (FMASK, state.fmask), (SYSENTER_CS, state.sysenter_cs),
            (SYSENTER_ESP, state.sysenter_esp), (SYSENTER_EIP, state.sysenter_eip),
            (EFER, EFER_SCE | EFER_NXE | (EFER_LME if long else 0)),
        ):  # fmt: skip
            code += b"\xb9" + le(index, 4) + b"\xb8" + le(value, 4) + b"\xba" + le(value >> 32, 4)
            code += b"\x0f\x30"
        for number, value in ((3, cr3), (4, cr4), (0, cr0)):
            code += b"\xb8" + le(value, 4) + bytes((0x0F, 0x22, 0xC0 | number << 3))
        code += b"\xea" + le(START + len(code) + 7, 4) + le(h.CODE64 if long else h.CODE32, 2)
        code += b"\xb8" + le(h.DATA, 4) + b"\x8e\xd8\x8e\xc0\x8e\xd0"  # mov eax; mov ds, es, ss
        code += b"\xb8" + le(h.TASK, 4) + b"\x0f\x00\xd8\xbc" + le(h.STACK, 4)  # ltr; mov esp
        for i, digit in ((1, 3), (2, 2)):  # lidt, lgdt
            mode = bytes((4 | digit << 3, 0x25)) if long else bytes((5 | digit << 3,))  # an absolute address
            code += b"\x0f\x01" + mode + le(POINTERS + 16 * i, 4)
        return code + self._go(long, START + len(code))

    def _go(self, long: bool, at: int) -> bytes:
        """Load the general registers, and jump to the hostile code, or return to it in ring 3."""
        gpr, n_bytes, code = self.vcpu.regs.gpr, 8 if long else 4, b""
        flags = self.vcpu.rflags | (0x200 if self.vcpu.virtual_if else 0)
        if self._cpl:
            selector = h.USER64 if long else h.USER32
            for value in (h.USER_DATA, gpr[4] & 0x7FFF_FFFF, flags, selector, self._rip & 0x7FFF_FFFF):
                code += b"\x68" + le(value, 4)
        for i in range(16 if long else 8):
            if i == 4 and self._cpl:
                continue
            rex = bytes((0x48 | i >> 3,)) if long else b""
            code += rex + bytes((0xB8 | i & 7,)) + le(gpr[i], n_bytes)
        if self._cpl:
            return code + (b"\x48\xcf" if long else b"\xcf")
        code += b"\xfb" if self.vcpu.virtual_if else b""
        if long:
            return code + b"\xff\x25\0\0\0\0" + le(self._rip, 8)
        return code + b"\xe9" + le(self._rip - (at + len(code) + 5), 4)
