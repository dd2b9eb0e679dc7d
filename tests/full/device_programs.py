# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels that do anything to a PC's devices in any order, with interrupts coming: made of bytes, by a seed.

They are 32-bit code at the PVH entry, with a GDT, an IDT whose gates all lead to one handler, and a stack.
The handler ends the interrupt at both 8259s and at the local APIC; after many of them it ends the guest.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from tests.cpu.rig import le
from tests.full.kernels import MIB, pvh_elf
from tests.machine.elf_bytes import Part

TABLES, HANDLER, GDT, IDT, STACK = MIB + 0x10000, MIB + 0x10100, MIB + 0x10200, MIB + 0x10400, 0x30_0000
COUNT, MAX_INTERRUPTS = 0x20_0000, 200
APIC, IOAPIC = 0xFEE0_0000, 0xFEC0_0000
SELF, TIMER, LINT0, ERROR = 0x300, 0x320, 0x350, 0x370
EOI, NOP, STI, CLI, HLT = 0xB0, b"\x90", b"\xfb", b"\xfa", b"\xf4"

VECTORS = (0x31, 0x32, 0x45, 0x60, 0xF3)
PIT_WORDS = (0x00, 0x40, 0x80, 0x34, 0x36, 0x30, 0x38, 0xB0, 0xB6, 0xB4, 0x70, 0x72, 0x35, 0x10, 0x24,
             0xE2, 0xC2, 0xD2, 0xE8, 0xEE, 0xD0)  # fmt: skip
OCWS = (0x20, 0x20, 0x20, 0x0A, 0x0B, 0x60, 0x61, 0x64, 0xA0, 0xC1, 0xC7, 0x80, 0x00, 0x48, 0x68, 0x0C)
WRITES: dict[str, tuple[tuple[int, Sequence[int]], ...]] = {
    "pit": ((0x43, PIT_WORDS), *((ioport, range(256)) for ioport in (0x40, 0x41, 0x42)), (0x61, range(4))),
    "pic": tuple((base + i, (OCWS, range(256))[i]) for base in (0x20, 0xA0) for i in (0, 1)),
    "elcr": ((0x4D0, range(256)), (0x4D1, range(256))),
    "rtc": ((0x70, (*range(14), 0x32, 0x37, 0x8A, 0x40)), (0x71, (0x26, 0x02, 0x06, 0x12, 0x42, 0x59, 0x86))),
    "kbd": ((0x64, (0x20, 0xAA, 0xAB, 0xAD, 0xAE, 0xA7)), (0x60, (0xEE, 0xF4, 0xF2))),
    "uart": ((0x3F8, b"abc\n"), (0x3F8, b"abc\n"), (0x3F9, (0, 2, 2, 2, 3, 7)), (0x3FC, (8, 8, 8, 0, 0x18)),
             (0x3FB, (3, 3, 3, 0x83)), (0x3FA, (0, 1, 7))),
    "post": ((0x80, range(256)),),
}  # fmt: skip
READS = {
    "pit": (0x40, 0x41, 0x42, 0x43, 0x61), "pic": (0x20, 0x21, 0xA0, 0xA1), "elcr": (0x4D0, 0x4D1),
    "rtc": (0x70, 0x71), "kbd": (0x60, 0x64), "uart": tuple(range(0x3F8, 0x400)), "post": (0x80,),
    "clocks": (0x3DA, 0x608, 0x609, 0x61),
}  # fmt: skip


def out(ioport: int, value: int, size_bytes: int = 1) -> bytes:
    """Assemble `mov edx, ioport; mov eax, value; out dx, al/ax/eax`."""
    instruction = {1: b"\xee", 2: b"\x66\xef", 4: b"\xef"}[size_bytes]
    return b"\xba" + le(ioport, 4) + b"\xb8" + le(value, 4) + instruction


def into(ioport: int, size_bytes: int = 1) -> bytes:
    """Assemble `mov edx, ioport; in al/ax/eax, dx`."""
    return b"\xba" + le(ioport, 4) + {1: b"\xec", 2: b"\x66\xed", 4: b"\xed"}[size_bytes]


def store(address: int, value: int, form: int = 0) -> bytes:
    """Assemble a MOV of a constant to memory, in one of three ways."""
    if form == 0:
        return b"\xc7\x05" + le(address, 4) + le(value, 4)
    if form == 1:
        return b"\xb8" + le(value, 4) + b"\xa3" + le(address, 4)
    return b"\xbb" + le(address - 8, 4) + b"\xb9" + le(value, 4) + b"\x89\x4b\x08"


def load(address: int, form: int = 0) -> bytes:
    """Assemble a MOV from memory, in one of three ways."""
    if form == 0:
        return b"\xa1" + le(address, 4)
    if form == 1:
        return b"\x8b\x0d" + le(address, 4)
    return b"\xbb" + le(address - 8, 4) + b"\x8b\x43\x08"


def _apic(chance: random.Random) -> bytes:
    form = chance.randrange(3)
    if chance.random() < 0.4:
        return load(APIC + 16 * chance.randrange(0x40), form)
    vector = chance.choice(VECTORS)
    offset, value = chance.choice((
        (EOI, 0), (EOI, 0), (0x80, chance.randrange(256)), (0x80, 0), (SELF, 0x4_0000 | vector),
        (SELF, chance.choice((0, 0x800, 0x8_0000, 0xC_0000, 0x100)) | vector),
        (0x310, chance.choice((0, 1, 0x80, 0xFF)) << 24), (0xD0, chance.choice((0x8000_0000, 0x100_0000))),
        (TIMER, vector | chance.choice((0, 0x1_0000, 0x2_0000))),
        (0x380, chance.choice((0, 50, 700, 20_000))), (0x3E0, chance.choice((0, 3, 0xB))),
        (LINT0, chance.choice((0x8700, 0x700, 0x1_8700, 0x8000 | vector))),
        (0xF0, chance.choice((0x1FF, 0x1FF, 0xFF))), (SELF, 5), (ERROR, vector),
    ))  # fmt: skip
    return store(APIC + offset, value, form)


def _ioapic(chance: random.Random) -> bytes:
    """An entry of a pin that something drives: IRQ 0, 1, 4 or 8."""
    entry = chance.choice(VECTORS) | chance.choice((0, 0, 0x8000, 0x1_0000, 0x700))
    return store(IOAPIC, 0x10 + 2 * chance.choice((2, 1, 4, 8))) + store(IOAPIC + 0x10, entry)


def _initialize(chance: random.Random) -> bytes:
    """The ICWs of both 8259s, with or without automatic EOI and the special fully nested mode."""
    icw4 = 1 | chance.choice((0, 0, 2, 0x10))
    words = ((0x20, 0x20, 4), (0xA0, 0x28, 2))
    return b"".join(out(at, 0x11) + out(at + 1, v) + out(at + 1, i) + out(at + 1, icw4) for at, v, i in words)


def _step(chance: random.Random, rooms: Sequence[str]) -> bytes:
    kind, room = chance.random(), chance.choice(rooms)
    size_bytes = chance.choice((1,) * 20 + (2, 4))
    if kind < 0.12:
        return chance.choice((STI, STI, CLI, STI + NOP, STI + CLI, NOP * chance.randrange(40)))
    if kind < 0.125:
        return STI + HLT
    if kind < 0.15:
        spin = b"\xb9" + le(chance.choice((30, 300, 2_000, 20_000)), 4)
        return spin + b"\x49\x75\xfd"  # mov ecx, n; dec ecx; jnz back
    if room == "apic":
        return _apic(chance)
    if room == "ioapic":
        return _ioapic(chance)
    if room == "pic" and kind < 0.2:
        return _initialize(chance)
    if kind < 0.55 and room in WRITES:
        ioport, values = chance.choice(WRITES[room])
        return out(ioport, chance.choice(values), size_bytes)
    return into(chance.choice(READS[room]), size_bytes)


def program(seed: int, n_steps: int = 250) -> bytes:
    """The kernel's ELF. Each seed has devices of its own that it is after."""
    chance = random.Random(seed)
    rooms = chance.sample(("apic", "ioapic", *WRITES, "clocks"), chance.randint(2, 6))
    entry = b"\x0f\x01\x15" + le(TABLES, 4) + b"\x0f\x01\x1d" + le(TABLES + 8, 4) + b"\xbc" + le(STACK, 4)
    entry += b"\xea" + le(MIB + 4 + len(entry) + 7, 4) + le(8, 2)
    entry += b"\x66\xb8\x10\x00\x8e\xd8\x8e\xc0\x8e\xd0"
    code = entry + _initialize(random.Random(1)) + b"".join(_step(chance, rooms) for _ in range(n_steps))
    code += CLI + out(0xF4, 0)
    tables = le(0x17, 2) + le(GDT, 4) + bytes(2) + le(256 * 8 - 1, 2) + le(IDT, 4)
    handler = b"\x60\xff\x05" + le(COUNT, 4) + b"\x81\x3d" + le(COUNT, 4) + le(MAX_INTERRUPTS, 4)
    handler += b"\x72\x06\xb0\x01\xe6\xf4\xeb\xfe"  # jb on; mov al, 1; out 0xf4, al; on itself
    handler += b"\xb0\x20\xe6\xa0\xe6\x20\xa3" + le(APIC + EOI, 4) + b"\x61\xcf"
    gdt = le(0, 8) + le(0x00CF_9B00_0000_FFFF, 8) + le(0x00CF_9300_0000_FFFF, 8)
    gate = le(HANDLER & 0xFFFF, 2) + le(8, 2) + b"\0\x8e" + le(HANDLER >> 16, 2)
    image = bytearray(bytes(4) + code)
    assert len(image) <= TABLES - MIB
    for at, data in ((TABLES, tables), (HANDLER, handler), (GDT, gdt), (IDT, gate * 256)):
        image += bytes(at - MIB - len(image)) + data
    return pvh_elf(Part(bytes(image)))
