# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel files made by hand for tests of the boot protocols: ELF32 headers, Multiboot headers."""

from __future__ import annotations

import struct
from pathlib import Path

from pvisor.cpu.entry import Entry
from pvisor.full import start
from pvisor.full.kernel_file import read_image
from pvisor.machine.memory import GuestMemory
from pvisor.machine.modules import Module
from tests.machine.elf_bytes import ET_EXEC, I386, PT_LOAD, PT_NOTE, Elf, Part, note

RSDP = 0xF_5000
MIB = 1 << 20
PVH_NOTE = Part(note(b"Xen", 18, struct.pack("<I", MIB + 4)), kind=PT_NOTE, flags=4)


def header(flags: int, *fields: int, magic: int = 0x1BAD_B002, checksum: int | None = None) -> bytes:
    """A Multiboot header (0.6.96, 3.1.1) with a right checksum unless one is given."""
    right = -(magic + flags) & 0xFFFF_FFFF
    return struct.pack("<III", magic, flags, right if checksum is None else checksum) + struct.pack(
        f"<{len(fields)}I", *fields
    )


def elf32(data: bytes, *, vaddr: int = MIB, paddr: int | None = None, memory_bytes: int | None = None,
          entry: int = MIB, machine: int = I386, notes: bytes = b"") -> bytes:  # fmt: skip
    """An ELF32 executable with one segment, and a note segment if there are notes (System V ABI, 4 and 5)."""
    parts = [(PT_LOAD, data, vaddr, vaddr if paddr is None else paddr, memory_bytes or len(data), 5)]
    if notes:
        parts.append((PT_NOTE, notes, 0, 0, len(notes), 4))
    at = 52 + 32 * len(parts)
    headers, bodies = b"", b""
    for kind, body, virtual, physical, n_memory, flags in parts:
        offset = at + len(bodies)
        headers += struct.pack("<8I", kind, offset, virtual, physical, len(body), n_memory, flags, 4)
        bodies += body + bytes(-len(body) % 4)
    ident = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    rest = struct.pack("<HHIIIIIHHHHHH", ET_EXEC, machine, 1, entry, 52, 0, 0, 52, 32, len(parts), 40, 0, 0)
    return ident + rest + headers + bodies


def pvh_elf(*parts: Part) -> bytes:
    """An ELF64 with a PVH note; its code is at 1 MiB unless parts are given."""
    return bytes(Elf([*(parts or (Part(b"\xf4" * 8),)), PVH_NOTE]))


def placed(folder: Path, content: bytes, *, memory_bytes: int = 64 * MIB, cmdline: str = "",
           modules: tuple[Module, ...] = ()) -> tuple[Entry, GuestMemory]:  # fmt: skip
    """Write a kernel's file, and put it into a new guest's memory."""
    path = folder / "kernel"
    path.write_bytes(content)
    memory = GuestMemory(memory_bytes)
    entry = start.place(read_image(path), memory, cmdline=cmdline, modules=modules, rsdp=RSDP)
    return entry, memory


def string_at(memory: GuestMemory, address: int) -> bytes:
    """A string in guest memory up to its NUL."""
    text = b""
    while (byte := memory.read(address + len(text), 1)) != b"\0":
        text += byte
    return text
