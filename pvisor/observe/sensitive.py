# SPDX-License-Identifier: GPL-2.0-or-later
"""Every sensitive instruction in a guest's file, found without running it: `pvisor inspect --sensitive`.

The code is decoded function by function where symbols tell functions, and straight on between them. That is
less than the engine knows, which looks at each block when it is about to run: bytes that lie between
instructions as data are taken for code here, and so is code of another width than the file's. One such piece
is known: a 64-bit kernel is entered in 32-bit mode, and is decoded so from its entry to the far jump that
leaves that mode.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from pvisor.cpu.decode import disassembly
from pvisor.cpu.engine_start import start_engine
from pvisor.cpu.sensitive import SENSITIVE, Sensitive, find_sensitive, is_sensitive
from pvisor.full import multiboot
from pvisor.full.kernel_file import PVH_NOTE, multiboot_header
from pvisor.machine.elf import PF_X, ElfImage, RawImage, Symbol
from pvisor.observe.stats import Json
from pvisor.para.start import abi_note

SCHEMA = "pvisor.sensitive/1"
FAR_TRANSFERS = ("ljmp", "lcall", "retf", "retfd", "iret", "iretd")
"""With one of them start-up code leaves 32-bit mode, once it has set EFER.LME by WRMSR."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A sensitive instruction."""

    address: int
    code: bytes
    bits: int
    text: str
    kind: Sensitive
    symbol: Symbol | None

    @property
    def place(self) -> str:
        """`name+0x12`, or nothing where no symbol tells."""
        return f"{self.symbol.name}+{self.address - self.symbol.address:#x}" if self.symbol else ""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found in a file. `undecoded`: (address, size in bytes) of what is no instruction."""

    bits: int
    n_instructions: int
    findings: tuple[Finding, ...]
    undecoded: tuple[tuple[int, int], ...]

    @property
    def totals(self) -> dict[Sensitive, int]:
        """How often each kind occurs, in the order of the table, without those that do not."""
        counts = Counter(finding.kind.name for finding in self.findings)
        return {row: counts[row.name] for row in SENSITIVE if counts[row.name]}

    def as_json(self, name: str) -> Json:
        """The document of schema pvisor.sensitive/1; `name` is the file's."""
        return {
            "schema": SCHEMA,
            "file": name,
            "bits": self.bits,
            "instructions": self.n_instructions,
            "sensitive": [_finding(finding) for finding in self.findings],
            "totals": {row.name: n for row, n in self.totals.items()},
            "undecoded": [{"address": f"{address:#x}", "bytes": n} for address, n in self.undecoded],
        }


def survey(image: ElfImage) -> Survey:
    """Look through all code of a file. Raises GuestRefused for a Multiboot header that contradicts itself."""
    start_engine()
    findings: list[Finding] = []
    undecoded: list[tuple[int, int]] = []
    n_instructions = 0
    for start, code, bits in _pieces(image):
        address = start
        for n_bytes, text in disassembly(code, start, bits):
            insn = code[address - start : address - start + n_bytes]
            if not text:
                _add_undecoded(undecoded, address)
            else:
                n_instructions += 1
                if is_sensitive(insn, bits, in_user_code=True):
                    findings.append(_found(image, address, insn, bits, text))
            address += n_bytes
    return Survey(image.bits, n_instructions, tuple(findings), tuple(undecoded))


def _found(image: ElfImage, address: int, insn: bytes, bits: int, text: str) -> Finding:
    # Prefixes that have no meaning here are words of their own: `data16 sgdt`.
    kind = next(row for word in text.split() if (row := find_sensitive(word)) is not None)
    return Finding(address, insn, bits, text, kind, image.function_at(address))


def _add_undecoded(undecoded: list[tuple[int, int]], address: int) -> None:
    """One byte more that is no instruction; neighbours are joined."""
    if undecoded and sum(undecoded[-1]) == address:
        undecoded[-1] = (undecoded[-1][0], undecoded[-1][1] + 1)
    else:
        undecoded.append((address, 1))


def _pieces(image: ElfImage) -> Iterator[tuple[int, bytes, int]]:
    """(address, code, bits): cut where a function begins or ends, and around 32-bit start-up code."""
    entry_32 = _entry_of_32_bits(image)
    cuts = {symbol.address for symbol in image.functions}
    cuts |= {symbol.address + symbol.size_bytes for symbol in image.functions}
    if entry_32 is not None:
        cuts.add(entry_32)
    ordered = sorted(cuts)
    for start, code in _code(image):
        inside = ordered[bisect_right(ordered, start) : bisect_left(ordered, start + len(code))]
        for begin, end in zip([start, *inside], [*inside, start + len(code)], strict=True):
            piece = code[begin - start : end - start]
            n_start_up = _n_start_up_bytes(piece) if begin == entry_32 else 0
            if n_start_up:
                yield begin, piece[:n_start_up], 32
            if piece[n_start_up:]:
                yield begin + n_start_up, piece[n_start_up:], image.bits


def _n_start_up_bytes(piece: bytes) -> int:
    """How far the 32-bit code at a 64-bit kernel's entry goes."""
    at, may_leave = 0, False
    for n_bytes, text in disassembly(piece, 0, 32):
        at += n_bytes
        mnemonic = text.partition(" ")[0]
        may_leave = may_leave or mnemonic == "wrmsr"
        if may_leave and mnemonic in FAR_TRANSFERS:
            break
    return at


def _code(image: ElfImage) -> list[tuple[int, bytes]]:
    if not isinstance(image, RawImage):
        return list(image.code)
    header = multiboot_header(image)
    segments = multiboot.kernel_of(image, header).segments if header is not None else ()
    return [(segment.vaddr, bytes(segment.data)) for segment in segments if segment.flags & PF_X]


def _entry_of_32_bits(image: ElfImage) -> int | None:
    """Where a 64-bit kernel is entered in 32-bit mode, as a virtual address; None: it is not."""
    if image.bits != 64 or abi_note(image) is not None:
        return None
    header, note = multiboot_header(image), image.note(*PVH_NOTE)
    if multiboot.is_entered_by(image, header) and header is not None:
        entry = multiboot.kernel_of(image, header).entry
    elif note is not None:
        entry = int.from_bytes(note.desc, "little")
    else:
        return None
    for segment in image.segments:
        if segment.paddr <= entry < segment.paddr + segment.memory_bytes:
            return entry - segment.paddr + segment.vaddr
    return entry


def _finding(finding: Finding) -> Json:
    symbol, kind = finding.symbol, finding.kind
    return {
        "address": f"{finding.address:#x}",
        "symbol": symbol.name if symbol is not None else None,
        "offset": finding.address - symbol.address if symbol is not None else None,
        "bytes": finding.code.hex(),
        "bits": finding.bits,
        "text": finding.text,
        "name": kind.name,
        "group": kind.group.value,
        "in_user_code_only": kind.in_user_code_only,
        "at_ring_1": kind.at_ring_1,
        "source": kind.source,
    }
