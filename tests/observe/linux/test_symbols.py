# SPDX-License-Identifier: GPL-2.0-or-later
"""Symbols from a file: a System.map, or an ELF file that has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.errors import UsageError
from pvisor.observe.linux.symbols import read_symbols
from tests.guests import elves


def test_a_map(tmp_path: Path) -> None:
    path = tmp_path / "System.map"
    rows = ("ffffffff81000000 T _text", "ffffffff81000100 t inner", "ffffffff82000000 D jiffies", "?")
    path.write_text("".join(f"{row}\n" for row in rows))
    symbols = read_symbols(path)
    assert symbols.text_at(0xFFFF_FFFF_8100_0104) == "inner+0x4"
    assert symbols.address("jiffies") == 0xFFFF_FFFF_8200_0000
    moved = symbols.moved(0x200000)
    assert moved.text_at(0xFFFF_FFFF_8120_0104) == "inner+0x4" and len(moved) == 3


def test_an_elf_file(tmp_path: Path) -> None:
    symbols = read_symbols(elves.build("endless", "full", tmp_path))
    assert symbols.address("main") is not None


def test_what_is_neither_is_refused(tmp_path: Path) -> None:
    stub = tmp_path / "stub"
    stub.write_text("ffffffffffffffff B The real System.map is in the linux-image-dbg package\n")
    rows = ((stub, "no symbols there"), (tmp_path / "none", "no such file"), (tmp_path, "a folder"))
    for path, words in rows:
        with pytest.raises(UsageError, match=words):
            read_symbols(path)
