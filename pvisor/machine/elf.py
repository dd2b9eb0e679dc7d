# SPDX-License-Identifier: GPL-2.0-or-later
"""The ELF and DWARF door: a guest's file as segments, notes, symbols and source lines.

Only this file knows pyelftools. A file that is no sound x86 executable is refused in one line.
"""

from __future__ import annotations

import bisect
import io
import stat
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from elftools.dwarf.compileunit import CompileUnit
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from elftools.elf.segments import NoteSegment

from pvisor.errors import GuestRefused, UsageError

PF_X, PF_W, PF_R = 1, 2, 4
"""Program-header flags (System V ABI, ch. 5)."""

MAX_FILE_BYTES = 1 << 30
"""Larger files are refused before they are read."""

MAX_PROGRAM_HEADERS = 1024
"""With more, a file is taken for damaged: it has them to make the loader work."""

MAX_DEBUG_BYTES = 1 << 28
"""More debug information is left alone where it is not the file's own length: some bytes may hold a GiB."""

MAX_LINE_BYTES = 1 << 19
"""A longer line table of a unit is left alone: each byte may become an object of half a KiB."""

MACHINES = {"EM_X86_64": 64, "EM_386": 32}


@dataclass(frozen=True, slots=True)
class Segment:
    """A PT_LOAD program header: `data` at `paddr`, zeroes up to `memory_bytes`, seen at `vaddr`."""

    vaddr: int
    paddr: int
    data: bytes | memoryview = field(repr=False)
    memory_bytes: int
    flags: int

    @property
    def flag_text(self) -> str:
        """`R-X` and the like."""
        return "".join(c if self.flags & f else "-" for c, f in (("R", PF_R), ("W", PF_W), ("X", PF_X)))


@dataclass(frozen=True, slots=True)
class Note:
    """An entry of a PT_NOTE segment."""

    name: str
    type: int
    desc: bytes


@dataclass(frozen=True, slots=True, order=True)
class Symbol:
    """A function of the guest."""

    address: int
    size_bytes: int
    name: str
    is_global: bool


class ElfImage:
    """An executable for x86, read whole (unless its content is given) and checked.

    Raises UsageError when there is no such file, GuestRefused when it is not an ELF executable for x86 or
    is damaged.
    """

    def __init__(self, path: str | Path, content: bytes | None = None) -> None:
        self.path = Path(path)
        self._content = read_file(self.path) if content is None else content
        if self._content[:4] != b"\x7fELF":
            raise GuestRefused(f"{path}: not an ELF file; `pvisor build` makes guests from C")
        try:
            self._parse(ELFFile(io.BytesIO(self._content)))
        except GuestRefused:
            raise
        except Exception as error:  # whatever the parser trips over in a hostile file
            raise GuestRefused(f"{path}: damaged ELF file ({type(error).__name__}: {error})") from error

    def _parse(self, elf: ELFFile) -> None:
        machine = elf["e_machine"]
        if machine in MACHINES and not elf.little_endian:
            raise GuestRefused(f"{self.path}: big-endian, which no x86 is; build it for x86-64")
        if machine not in MACHINES:
            raise GuestRefused(
                f"{self.path}: made for {elf.get_machine_arch()}, not for x86; build it for x86-64"
            )
        if elf["e_type"] != "ET_EXEC":
            raise GuestRefused(
                f"{self.path}: not a fixed-address executable ({elf['e_type']}); link it with -static -no-pie"
            )
        self.bits = MACHINES[machine]
        self.entry: int = elf["e_entry"]
        segments: list[Segment] = []
        notes: list[Note] = []
        n_left = 4 * len(self._content)
        if elf.num_segments() > MAX_PROGRAM_HEADERS:
            raise GuestRefused(f"{self.path}: damaged ELF file ({elf.num_segments()} program headers)")
        for header in elf.iter_segments():
            start, n_bytes = header["p_offset"], header["p_filesz"]
            if start + n_bytes > len(self._content):
                raise GuestRefused(
                    f"{self.path}: truncated: a segment ends at byte {start + n_bytes}, "
                    f"the file at {len(self._content)}"
                )
            n_left -= n_bytes
            if n_left < 0:
                raise GuestRefused(f"{self.path}: damaged ELF file (segments hold the same bytes many times)")
            if header["p_type"] == "PT_LOAD" and header["p_memsz"]:
                if header["p_memsz"] < n_bytes:
                    raise GuestRefused(
                        f"{self.path}: damaged ELF file (a segment larger in the file than in memory)"
                    )
                segments.append(
                    Segment(
                        header["p_vaddr"],
                        header["p_paddr"],
                        memoryview(self._content)[start : start + n_bytes],
                        header["p_memsz"],
                        header["p_flags"],
                    )
                )
            elif isinstance(header, NoteSegment):
                notes.extend(_notes(self._content[start : start + n_bytes]))
        if not segments:
            raise GuestRefused(f"{self.path}: nothing to load (no PT_LOAD segment)")
        self.segments = tuple(segments)
        self.notes = tuple(notes)

    @property
    def content(self) -> bytes:
        """The whole file."""
        return self._content

    def note(self, name: str, note_type: int) -> Note | None:
        """The first note of that name and type."""
        return next((note for note in self.notes if (note.name, note.type) == (name, note_type)), None)

    def is_code(self, address: int) -> bool:
        """Does an executable segment hold this address?"""
        return any(s.flags & PF_X and s.vaddr <= address < s.vaddr + s.memory_bytes for s in self.segments)

    @cached_property
    def code(self) -> tuple[tuple[int, bytes], ...]:
        """(address, bytes) of all code: of the executable sections, else of the executable segments."""
        code = []
        n_left = 4 * len(self._content)
        try:
            for section in ELFFile(io.BytesIO(self._content)).iter_sections():
                start, n_bytes = section["sh_offset"], section["sh_size"]
                if section["sh_flags"] & SH_FLAGS.SHF_EXECINSTR and section["sh_type"] == "SHT_PROGBITS":
                    code.append((int(section["sh_addr"]), self._content[start : start + n_bytes]))
                    n_left -= len(code[-1][1])
                if n_left < 0:
                    break
        except Exception:  # damaged sections are none
            code.clear()
        if n_left < 0 or not code:
            code = [(segment.vaddr, bytes(segment.data)) for segment in self.segments if segment.flags & PF_X]
        return tuple(sorted(code))

    @cached_property
    def functions(self) -> tuple[Symbol, ...]:
        """All function symbols by address; empty in a stripped file."""
        found = set()
        n_left = 4 * len(self._content)
        try:
            for section in ELFFile(io.BytesIO(self._content)).iter_sections():
                if not isinstance(section, SymbolTableSection):
                    continue
                for symbol in section.iter_symbols():
                    n_left -= len(symbol.name)
                    if n_left < 0:  # one long name many times
                        return ()
                    info = symbol["st_info"]
                    if (
                        info["type"] in ("STT_FUNC", "STT_NOTYPE")
                        and symbol.name
                        and symbol["st_shndx"] != "SHN_ABS"
                        and symbol["st_value"]
                    ):
                        found.add(
                            Symbol(
                                symbol["st_value"],
                                symbol["st_size"] if info["type"] == "STT_FUNC" else 0,
                                symbol.name,
                                info["bind"] == "STB_GLOBAL",
                            )
                        )
        except Exception:  # damaged symbols are no symbols
            return ()
        return tuple(sorted(found))

    def function_at(self, address: int) -> Symbol | None:
        """The function that an address of the image belongs to, or None."""
        functions = self.functions
        at = bisect.bisect_right(functions, address, key=lambda symbol: symbol.address) - 1
        while (
            at >= 0 and functions[at].size_bytes == 0 and functions[at].address == functions[at - 1].address
        ):
            at -= 1  # of an alias pair, the one with a size
        if at < 0 or not any(s.vaddr <= address < s.vaddr + s.memory_bytes for s in self.segments):
            return None
        symbol = functions[at]
        if symbol.size_bytes and address >= symbol.address + symbol.size_bytes:
            return None
        return symbol

    def symbolize(self, address: int) -> str | None:
        """`name+0x12` for an address inside the image, or None."""
        symbol = self.function_at(address)
        return f"{symbol.name}+{address - symbol.address:#x}" if symbol is not None else None

    def source_line(self, address: int) -> str | None:
        """`file.c:12` for an address in the image, from the DWARF line table, or None."""
        if not any(0 <= address - part.vaddr < part.memory_bytes for part in self.segments):
            return None  # the lines of functions that the linker has left out begin at 0
        try:
            elf = ELFFile(io.BytesIO(self._content))
            if not elf.has_dwarf_info() or _debug_bytes(elf) > max(MAX_DEBUG_BYTES, len(self._content)):
                return None
            for unit in elf.get_dwarf_info().iter_CUs():
                found = _line_in_unit(elf, unit, address)
                if found:
                    return found
        except Exception:  # damaged debug information is none
            return None
        return None


class RawImage(ElfImage):
    """A kernel's file that is taken as plain bytes: it has no segments, notes, symbols or source lines."""

    def __init__(self, path: str | Path, content: bytes) -> None:
        self.path = Path(path)
        self._content = content
        self.bits = 32
        self.entry = 0
        self.segments = ()
        self.notes = ()

    @cached_property
    def code(self) -> tuple[tuple[int, bytes], ...]:
        """None that it knows of."""
        return ()

    @cached_property
    def functions(self) -> tuple[Symbol, ...]:
        """None."""
        return ()

    def source_line(self, address: int) -> str | None:
        """None."""
        return None


def _debug_bytes(elf: ELFFile) -> int:
    """How much debug information there is when it is not compressed."""
    sections = [section for section in elf.iter_sections() if section.name.startswith((".debug", ".zdebug"))]
    if any(section.name.startswith(".z") for section in sections):
        raise ValueError("the old form of compression, which does not say how much it is")
    return sum(section.data_size for section in sections)


def _line_in_unit(elf: ELFFile, unit: CompileUnit, address: int) -> str | None:
    program = elf.get_dwarf_info().line_program_for_CU(unit)
    if program is None or program["unit_length"] > MAX_LINE_BYTES:
        return None
    before = None
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        if before is not None and before.address <= address < state.address and not before.end_sequence:
            # File numbers begin at 0 in DWARF 5 and at 1 before.
            first = 0 if program["version"] >= 5 else 1
            name = program["file_entry"][before.file - first].name.decode("utf-8", "replace")
            return f"{name}:{before.line}"
        before = None if state.end_sequence else state
    return None


def _notes(data: bytes) -> list[Note]:
    """The entries of a note segment: sizes of name and body, type, each padded to 4 bytes (System V ABI)."""
    notes = []
    at = 0
    while at + 12 <= len(data):
        name_bytes, desc_bytes, note_type = (
            int.from_bytes(data[at + i : at + i + 4], "little") for i in (0, 4, 8)
        )
        name_at = at + 12
        desc_at = name_at + (name_bytes + 3 & ~3)
        at = desc_at + (desc_bytes + 3 & ~3)
        if desc_at + desc_bytes > len(data):
            break
        name = data[name_at : name_at + name_bytes].rstrip(b"\0").decode("ascii", "replace")
        notes.append(Note(name, note_type, data[desc_at : desc_at + desc_bytes]))
    return notes


def read_file(path: Path) -> bytes:
    """A kernel's file, whole. Raises UsageError, or GuestRefused when it is too large."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UsageError(f"{path}: a folder, not a guest; give an ELF file")
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{path}: a pipe or a device, not a guest; give an ELF file")
        if status.st_size > MAX_FILE_BYTES:
            raise GuestRefused(f"{path}: {status.st_size >> 20} MiB are too much for a guest's file")
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
