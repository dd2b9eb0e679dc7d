# SPDX-License-Identifier: GPL-2.0-or-later
"""The ELF door: what a guest's file says, and that nothing damaged gets past it."""

from __future__ import annotations

import io
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pvisor.errors import GuestRefused, UsageError
from pvisor.machine.elf import MAX_PROGRAM_HEADERS, PF_R, PF_W, PF_X, ElfImage, Note, Segment
from tests.machine.elf_bytes import AARCH64, ET_DYN, I386, PT_NOTE, Elf, Part, note


def image(folder: Path, content: bytes | Elf) -> ElfImage:
    path = folder / "guest.elf"
    path.write_bytes(bytes(content))
    return ElfImage(path)


def refusal(folder: Path, content: bytes | Elf) -> str:
    """Why a file is refused: one line that names it."""
    with pytest.raises(GuestRefused) as refused:
        image(folder, content)
    text = str(refused.value)
    assert text.startswith(str(folder / "guest.elf"))
    assert "\n" not in text
    return text.removeprefix(str(folder / "guest.elf: "))


def test_segments_are_as_the_program_headers_say(tmp_path: Path) -> None:
    parts = [
        Part(b"\xf4" * 10, flags=PF_R | PF_X, vaddr=0xFFFF_8880_0010_0000, paddr=0x10_0000),
        Part(b"data", flags=PF_R | PF_W, vaddr=0x20_0000, memory_bytes=0x3000),
        Part(b"", flags=PF_R, vaddr=0x30_0000, memory_bytes=16),
        Part(b"", flags=PF_R, vaddr=0x40_0000),
    ]
    found = image(tmp_path, Elf(parts, entry=0x10_0004))
    assert found.segments == (
        Segment(0xFFFF_8880_0010_0000, 0x10_0000, b"\xf4" * 10, 10, PF_R | PF_X),
        Segment(0x20_0000, 0x20_0000, b"data", 0x3000, PF_R | PF_W),
        Segment(0x30_0000, 0x30_0000, b"", 16, PF_R),
    )
    assert [segment.flag_text for segment in found.segments] == ["R-X", "RW-", "R--"]
    assert (found.entry, found.bits) == (0x10_0004, 64)


def test_notes_are_found_by_name_and_type(tmp_path: Path) -> None:
    notes = note(b"pvisor", 1, b"\1\0\0\0") + note(b"Xen", 18, b"12345") + note(b"pvisor", 2, b"")
    found = image(tmp_path, Elf([Part(b"\xf4"), Part(notes, kind=PT_NOTE, flags=4)]))
    assert found.notes == (Note("pvisor", 1, b"\1\0\0\0"), Note("Xen", 18, b"12345"), Note("pvisor", 2, b""))
    assert found.note("pvisor", 2) == Note("pvisor", 2, b"")
    assert found.note("Xen", 1) is None
    assert found.note("xen", 18) is None


@pytest.mark.parametrize("cut", [1, 4, 11, 12, 13, 19])
def test_a_note_that_ends_too_soon_is_no_note(tmp_path: Path, cut: int) -> None:
    whole = note(b"pvisor", 1, b"body")
    found = image(tmp_path, Elf([Part(b"\xf4"), Part(whole[:cut], kind=PT_NOTE, flags=4)]))
    assert found.notes == ()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not an ELF file"),
        (b"#!/bin/sh\n", "not an ELF file"),
        (b"\x7fELF", "damaged ELF file"),
        (b"\x7fELF\x02\x01\x01" + b"\0" * 60, "not for x86"),
        (Elf(machine=AARCH64), "not for x86"),
        (Elf(kind=ET_DYN), "-no-pie"),
        (Elf([]), "nothing to load"),
        (Elf([Part(b"", memory_bytes=0)]), "nothing to load"),
        (Elf([Part(note(b"a", 1, b""), kind=PT_NOTE)]), "nothing to load"),
        (Elf([Part(b"\xf4", file_bytes=2)]), "truncated"),
        (Elf([Part(b"\xf4", offset=1 << 40)]), "truncated"),
        (Elf([Part(b"\xf4" * 4, memory_bytes=3)]), "larger in the file than in memory"),
    ],
    ids=["empty", "script", "magic only", "zeroes", "aarch64", "pie", "no segments", "empty segment",
         "note only", "short body", "body beyond", "memory too small"],
)  # fmt: skip
def test_what_is_no_sound_executable_is_refused_in_one_line(
    tmp_path: Path, content: bytes | Elf, words: str
) -> None:
    assert words in refusal(tmp_path, content)


def test_a_big_endian_file_is_not_for_x86(tmp_path: Path) -> None:
    content = bytearray(bytes(Elf()))
    content[5] = 2
    refusal(tmp_path, bytes(content))


def test_the_machine_is_named_in_bits(tmp_path: Path) -> None:
    assert image(tmp_path, Elf()).bits == 64
    assert image(tmp_path, Elf(machine=I386)).bits == 32


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        ElfImage(tmp_path / "none.elf")
    with pytest.raises(UsageError, match="a folder"):
        ElfImage(tmp_path)


WHOLE = bytes(Elf([Part(b"\xf4" * 8), Part(note(b"pvisor", 1, b"body"), kind=PT_NOTE, flags=4)]))


@pytest.mark.parametrize("length", range(4, len(WHOLE), 7))
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, length: int) -> None:
    refusal(tmp_path, WHOLE[:length])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(4, len(WHOLE) - 1), st.integers(0, 255)), max_size=4))
def test_a_damaged_file_is_read_or_refused_but_never_a_traceback(
    tmp_path: Path, changes: list[tuple[int, int]]
) -> None:
    content = bytearray(WHOLE)
    for at, value in changes:
        content[at] = value
    try:
        found = image(tmp_path, bytes(content))
    except GuestRefused:
        return
    for segment in found.segments:
        assert len(segment.data) <= segment.memory_bytes
    assert found.functions == ()
    assert found.source_line(0x10_0000) is None


SOURCE = """
int counter = 1;
static int helper(int n) { return n + counter; }
int twice(int n)
{
    return helper(n) * 2;
}
void _start(void) { counter = twice(3); for (;;) ; }
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> ElfImage:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    folder = tmp_path_factory.mktemp("elf")
    (folder / "guest.c").write_text(SOURCE)
    subprocess.run(
        ["gcc", "-g", "-O0", "-ffreestanding", "-nostdlib", "-static", "-no-pie", "-fno-pie",
         "guest.c", "-o", "guest.elf"],
        cwd=folder, check=True,
    )  # fmt: skip
    return ElfImage(folder / "guest.elf")


def test_functions_come_in_the_order_of_their_addresses(compiled: ElfImage) -> None:
    symbols = {symbol.name: symbol for symbol in compiled.functions}
    assert {"helper", "twice", "_start"} <= set(symbols)
    assert [symbol.address for symbol in compiled.functions] == sorted(s.address for s in compiled.functions)
    assert symbols["_start"].address == compiled.entry
    assert (symbols["helper"].is_global, symbols["twice"].is_global) == (False, True)
    assert "counter" not in symbols, "data is no function"


def test_an_address_is_named_by_its_function(compiled: ElfImage) -> None:
    twice = next(symbol for symbol in compiled.functions if symbol.name == "twice")
    assert compiled.symbolize(twice.address) == "twice+0x0"
    assert compiled.symbolize(twice.address + 5) == "twice+0x5"
    assert compiled.symbolize(twice.address + twice.size_bytes - 1) == f"twice+{twice.size_bytes - 1:#x}"
    assert compiled.symbolize(twice.address + twice.size_bytes) != f"twice+{twice.size_bytes:#x}"
    for outside in (0, 1, (1 << 64) - 1):
        assert compiled.symbolize(outside) is None


def test_an_address_has_its_source_line(compiled: ElfImage) -> None:
    lines = {symbol.name: compiled.source_line(symbol.address) for symbol in compiled.functions}
    assert (lines["helper"], lines["twice"], lines["_start"]) == ("guest.c:3", "guest.c:5", "guest.c:8")
    assert compiled.source_line(0) is None


def test_a_huge_line_table_is_left_alone(compiled: ElfImage, monkeypatch: pytest.MonkeyPatch) -> None:
    start = next(f for f in compiled.functions if f.name == "_start").address
    assert compiled.source_line(start)
    monkeypatch.setattr("pvisor.machine.elf.MAX_LINE_BYTES", 10)
    assert compiled.source_line(start) is None


def test_much_compressed_debug_information_is_left_alone(
    compiled: ElfImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("objcopy") is None:
        pytest.skip("objcopy is not installed")
    (tmp_path / "zeros").write_bytes(bytes(1 << 20))
    more, bomb = tmp_path / "more", tmp_path / "bomb"
    added = f".debug_x={tmp_path}/zeros"
    subprocess.run(["objcopy", "--add-section", added, compiled.path, more], check=True)
    subprocess.run(["objcopy", "--compress-debug-sections=zlib", more, bomb], check=True)
    start = next(f for f in compiled.functions if f.name == "_start").address
    assert bomb.stat().st_size < 1 << 17
    assert ElfImage(bomb).source_line(start) == compiled.source_line(start)
    monkeypatch.setattr("pvisor.machine.elf.MAX_DEBUG_BYTES", 1 << 20)
    assert ElfImage(bomb).source_line(start) is None


def test_one_long_name_many_times_is_no_name(compiled: ElfImage, tmp_path: Path) -> None:
    content = bytearray(compiled.path.read_bytes())
    elf = ELFFile(io.BytesIO(content))
    at, n_bytes = len(content), 1 << 14
    content += b"\0" + b"n" * n_bytes + b"\0" + bytes(24)
    n_symbols = 64
    symbol = struct.pack("<IBBHQQ", 1, 2, 0, 1, compiled.entry, 1)
    first = len(content)
    content += symbol * n_symbols
    for name, start, size in ((".strtab", at, n_bytes + 2), (".symtab", first, 24 * n_symbols)):
        header = elf["e_shoff"] + elf["e_shentsize"] * elf.get_section_index(name)
        struct.pack_into("<QQ", content, header + 24, start, size)
    found = image(tmp_path, bytes(content))
    assert n_bytes * n_symbols > 4 * len(content)
    assert found.functions == ()


def test_damaged_names_and_lines_are_left_out(compiled: ElfImage, tmp_path: Path) -> None:
    """A crash report must come out, whatever the guest's debug information looks like."""
    whole = compiled.path.read_bytes()
    chance = random.Random(1)
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(chance.choice((1, 4, 30))):
            content[chance.randrange(4, len(content))] = chance.randrange(256)
        try:
            found = image(tmp_path, bytes(content))
        except GuestRefused:
            continue
        found.symbolize(found.entry)
        found.source_line(found.entry)


def test_a_stripped_file_has_no_names(compiled: ElfImage, tmp_path: Path) -> None:
    if shutil.which("strip") is None:
        pytest.skip("strip is not installed")
    subprocess.run(["strip", "-o", tmp_path / "bare.elf", compiled.path], check=True)
    bare = ElfImage(tmp_path / "bare.elf")
    assert bare.functions == ()
    assert bare.symbolize(bare.entry) is None
    assert bare.source_line(bare.entry) is None
    assert bare.entry == compiled.entry


def test_segments_that_share_their_bytes_many_times_are_refused(tmp_path: Path) -> None:
    """A small file must not become much memory."""
    n, size = 200, 1 << 16
    header = b"\x7fELF\2\1\1".ljust(16, b"\0")
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0x10_0000, 64, 0, 0, 64, 56, n, 64, 0, 0)
    headers = struct.pack("<IIQQQQQQ", 1, 5, 1, 0x10_0000, 0x10_0000, size - 1, size, 1) * n
    assert "many times" in refusal(tmp_path, (header + headers).ljust(size, b"\0"))


def test_too_many_program_headers_are_refused(tmp_path: Path) -> None:
    parts = [Part(b"\xf4"), *[Part(memory_bytes=1 << 20) for _ in range(MAX_PROGRAM_HEADERS)]]
    assert "1025 program headers" in refusal(tmp_path, Elf(parts))
    assert len(image(tmp_path, Elf(parts[:-1])).segments) == MAX_PROGRAM_HEADERS
