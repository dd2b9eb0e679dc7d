# SPDX-License-Identifier: GPL-2.0-or-later
"""Small ELF64 files made by hand, so that each field can be bent (System V ABI, chapters 4 and 5)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

PT_LOAD, PT_NOTE = 1, 4
HEADER_BYTES, PROGRAM_HEADER_BYTES = 64, 56
X86_64, I386, AARCH64 = 62, 3, 183
ET_EXEC, ET_DYN = 2, 3


@dataclass
class Part:
    """A program header and its bytes. Fields that are None follow from the others."""

    data: bytes = b""
    kind: int = PT_LOAD
    flags: int = 5
    vaddr: int = 0x10_0000
    paddr: int | None = None
    file_bytes: int | None = None
    memory_bytes: int | None = None
    offset: int | None = None


@dataclass
class Elf:
    """The file; `bytes()` puts it together."""

    parts: list[Part] = field(default_factory=lambda: [Part(b"\xf4")])
    machine: int = X86_64
    kind: int = ET_EXEC
    entry: int = 0x10_0000
    ident: bytes = b"\x7fELF\x02\x01\x01"

    def __bytes__(self) -> bytes:
        at = HEADER_BYTES + PROGRAM_HEADER_BYTES * len(self.parts)
        headers, bodies = b"", b""
        for part in self.parts:
            n = len(part.data) if part.file_bytes is None else part.file_bytes
            headers += struct.pack(
                "<IIQQQQQQ", part.kind, part.flags, at + len(bodies) if part.offset is None else part.offset,
                part.vaddr, part.vaddr if part.paddr is None else part.paddr, n,
                n if part.memory_bytes is None else part.memory_bytes, 1,
            )  # fmt: skip
            bodies += part.data
        header = self.ident.ljust(16, b"\0") + struct.pack(
            "<HHIQQQIHHHHHH", self.kind, self.machine, 1, self.entry, HEADER_BYTES, 0, 0, HEADER_BYTES,
            PROGRAM_HEADER_BYTES, len(self.parts), 64, 0, 0,
        )  # fmt: skip
        return header + headers + bodies


def note(name: bytes, note_type: int, desc: bytes) -> bytes:
    """An entry of a note segment: each part padded to four bytes."""
    name += b"\0"
    return b"".join([
        struct.pack("<III", len(name), len(desc), note_type),
        name.ljust(len(name) + 3 & ~3, b"\0"),
        desc.ljust(len(desc) + 3 & ~3, b"\0"),
    ])  # fmt: skip
