# SPDX-License-Identifier: GPL-2.0-or-later
"""Paravirtual kernels made of raw bytes: no compiler, any note, any segments."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pvisor.domain.outcome import Ending
from pvisor.machine.console import ConsoleOutput, NoInput
from pvisor.vmm.builder import Machine, build
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.loop import RunLoop

CODE, CONSTANTS, DATA = 0x10_0000, 0x10_1000, 0x10_2000
MEMORY_BYTES = 4 << 20
R, W, X = 4, 2, 1
HLT = b"\xf4"


@dataclass(frozen=True)
class Part:
    """A segment of the file."""

    vaddr: int
    data: bytes
    flags: int
    paddr: int | None = None
    memory_bytes: int | None = None


def note(body: bytes, name: bytes = b"pvisor\0", kind: int = 1) -> bytes:
    """A note as a PT_NOTE segment holds it."""
    padded = (part.ljust(-(-len(part) // 4) * 4, b"\0") for part in (name, body))
    return struct.pack("<III", len(name), len(body), kind) + b"".join(padded)


def abi_note(abi_version: int = 1, needed_features: int = 0) -> bytes:
    """The note of a paravirtual guest."""
    return note(struct.pack("<IIQ", abi_version, 0, needed_features))


def elf(parts: Iterable[Part], notes: bytes = b"", entry: int = CODE) -> bytes:
    """An ELF64 executable for x86-64."""
    parts = list(parts)
    n_headers = len(parts) + bool(notes)
    at = 64 + 56 * n_headers
    headers, body = b"", b""
    if notes:
        headers += struct.pack("<IIQQQQQQ", 4, R, at, 0, 0, len(notes), len(notes), 4)
        body += notes
    for part in parts:
        size = len(part.data) if part.memory_bytes is None else part.memory_bytes
        paddr = part.vaddr if part.paddr is None else part.paddr
        where = (at + len(body), part.vaddr, paddr)
        headers += struct.pack("<IIQQQQQQ", 1, part.flags, *where, len(part.data), size, 1)
        body += part.data
    ident = b"\x7fELF\2\1\1".ljust(16, b"\0")
    header = struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, entry, 64, 0, 0, 64, 56, n_headers, 64, 0, 0)
    return ident + header + headers + body


def plain(code: bytes) -> list[Part]:
    """Code, a page of constants, a page of data."""
    return [Part(CODE, code, R | X), Part(CONSTANTS, b"constant", R), Part(DATA, b"data", R | W)]


@contextmanager
def machine(
    folder: Path,
    code: bytes = HLT,
    *,
    parts: list[Part] | None = None,
    notes: bytes | None = None,
    entry: int = CODE,
    memory_bytes: int = MEMORY_BYTES,
    **settings: object,
) -> Iterator[Machine]:
    """A domain with such a kernel, ready to run."""
    path = folder / "kernel.elf"
    parts = plain(code) if parts is None else parts
    path.write_bytes(elf(parts, abi_note() if notes is None else notes, entry))
    config = DomainConfig(path, "para", memory_bytes, max_insns=100_000, **settings)  # type: ignore[arg-type]
    made = build(config, ConsoleOutput(), NoInput())
    try:
        yield made
    finally:
        made.close()


def run(made: Machine) -> Ending:
    """Run it to its end."""
    return RunLoop(made.domain, made.vcpu, on_kick=lambda: None, drain_trace=lambda: None).run()


def le(value: int, n_bytes: int) -> bytes:
    """An immediate."""
    return (value & (1 << 8 * n_bytes) - 1).to_bytes(n_bytes, "little")


def mov(register: int, value: int) -> bytes:
    """Assemble `mov r64, imm64` for RAX to RDI."""
    return bytes([0x48, 0xB8 | register]) + le(value, 8)
