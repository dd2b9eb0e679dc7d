# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests for tests: builds those of this folder, and bends finished ELF files into wrong ones."""

from __future__ import annotations

import struct
from pathlib import Path

from pvisor.toolchain.build import BuildResult, build_guest

FOLDER = Path(__file__).resolve().parent

PARA_ONLY = ("unknown_hypercall", "write_hole")
"""Guests that make hypercalls themselves, so they cannot be linked for full."""

_PT_LOAD, _PT_NOTE = 1, 4
_PF_W = 2


def build(name: str, mode: str, folder: Path) -> Path:
    """Build the test guest `name` (such as "halt") for `mode` into `folder`."""
    return build_result(name, mode, folder).path


def build_result(name: str, mode: str, folder: Path) -> BuildResult:
    """As `build`, with the compiler's warnings and commands."""
    return build_guest([FOLDER / f"{name}.c"], folder / f"{name}-{mode}.elf", mode)


def names(mode: str) -> list[str]:
    """All test guests that can be built for `mode`."""
    found = sorted(path.stem for path in FOLDER.glob("*.c"))
    return [name for name in found if mode == "para" or name not in PARA_ONLY]


def with_note(elf: Path, output: Path, *, abi_version: int = 1, needed_features: int = 0) -> Path:
    """A para guest with another version or other needs in its pvisor note."""
    data = bytearray(elf.read_bytes())
    for at, _ in _program_headers(data, _PT_NOTE):
        (offset,) = struct.unpack_from("<Q", data, at + 8)
        body = offset + 12 + 8  # behind two sizes, the type and the name
        struct.pack_into("<IIQ", data, body, abi_version, 0, needed_features)
    output.write_bytes(data)
    return output


def with_writable_code(elf: Path, output: Path) -> Path:
    """A guest whose code segment is writable too."""
    data = bytearray(elf.read_bytes())
    for at, flags in _program_headers(data, _PT_LOAD):
        if flags & 1:
            struct.pack_into("<I", data, at + 4, flags | _PF_W)
    output.write_bytes(data)
    return output


def for_machine(elf: Path, output: Path, machine: int) -> Path:
    """A guest that says it is for another CPU: 183 is AArch64, 3 is the 32-bit i386."""
    data = bytearray(elf.read_bytes())
    struct.pack_into("<H", data, 18, machine)
    output.write_bytes(data)
    return output


def without_sections(elf: Path, output: Path) -> Path:
    """The same without section headers, and so without symbols: e_shoff, e_shnum and e_shstrndx are 0."""
    data = bytearray(elf.read_bytes())
    struct.pack_into("<Q", data, 40, 0)
    struct.pack_into("<HH", data, 60, 0, 0)
    output.write_bytes(data)
    return output


def _program_headers(data: bytes | bytearray, kind: int) -> list[tuple[int, int]]:
    """Where the program headers of a kind lie in the file, and their flags."""
    (start,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    headers = [start + i * size for i in range(count)]
    found = [(at, *struct.unpack_from("<II", data, at)) for at in headers]
    return [(at, flags) for at, its_kind, flags in found if its_kind == kind]
