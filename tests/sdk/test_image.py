# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest's ELF file looks like: its segments, its note, its symbols."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from tests.guests import elves

MODES = ("full", "para")
READ, READ_WRITE, READ_EXECUTE = 4, 6, 5


@pytest.fixture(scope="module", params=MODES)
def guest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ELFFile]:
    path = elves.build("environment", request.param, tmp_path_factory.mktemp("image"))
    return request.param, ELFFile(io.BytesIO(path.read_bytes()))


def symbols(elf: ELFFile) -> dict[str, int]:
    table = elf.get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    return {symbol.name: symbol["st_value"] for symbol in table.iter_symbols()}


def test_it_is_a_static_64_bit_program_at_2_mib(guest: tuple[str, ELFFile]) -> None:
    _, elf = guest
    assert (elf.elfclass, elf.header.e_machine, elf.header.e_type) == (64, "EM_X86_64", "ET_EXEC")
    assert elf.header.e_entry == 0x200000


def test_no_page_is_writable_and_executable(guest: tuple[str, ELFFile]) -> None:
    _, elf = guest
    segments = list(elf.iter_segments("PT_LOAD"))
    assert [segment["p_flags"] for segment in segments] == [READ_EXECUTE, READ, READ_WRITE]
    end = 0x200000
    for segment in segments:
        assert segment["p_vaddr"] == segment["p_paddr"]
        assert segment["p_vaddr"] % 4096 == 0
        assert segment["p_vaddr"] >= end
        end = segment["p_vaddr"] + segment["p_memsz"]


def test_there_is_one_note_and_it_tells_the_mode(guest: tuple[str, ELFFile]) -> None:
    mode, elf = guest
    (segment,) = elf.iter_segments("PT_NOTE")
    if mode == "full":
        entry = 0x200000
        assert segment.data() == struct.pack("<III4sQ", 4, 8, 18, b"Xen", entry)
    else:
        abi_version, needed_features = 1, 0
        body = struct.pack("<IIQ", abi_version, 0, needed_features)
        assert segment.data() == struct.pack("<III8s", 7, 16, 1, b"pvisor") + body


def test_functions_can_be_named(guest: tuple[str, ELFFile]) -> None:
    _, elf = guest
    assert {"_start", "pv_start", "main", "pv_write", "pv_exit"} <= symbols(elf).keys()
    assert elf.has_dwarf_info()


def test_the_stack_of_a_full_guest_has_a_page_below_that_is_never_mapped(tmp_path: Path) -> None:
    at = symbols(ELFFile(io.BytesIO(elves.build("halt", "full", tmp_path).read_bytes())))
    assert at["__stack_bottom"] - at["__stack_guard"] == 4096
    assert at["__stack_top"] - at["__stack_bottom"] == 65536
    assert at["__stack_guard"] == at["__data_end"]


@pytest.mark.parametrize("mode", MODES)
def test_every_test_guest_builds_without_a_warning(mode: str, tmp_path: Path) -> None:
    for name in elves.names(mode):
        assert elves.build_result(name, mode, tmp_path).warnings == "", name
