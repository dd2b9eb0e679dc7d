# SPDX-License-Identifier: GPL-2.0-or-later
"""`--entry`, and what `pvisor inspect` says of a bzImage."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import Pvisor
from tests.full.bzimages import bzimage, reporter, two_entries
from tests.guests.shelf import Shelf


@pytest.fixture
def vmlinuz(tmp_path: Path) -> Path:
    path = tmp_path / "vmlinuz"
    path.write_bytes(bzimage(two_entries(reporter(b"3"), reporter(b"6"))))
    return path


@pytest.mark.parametrize(("options", "mark"), [((), "6"), (("--entry", "linux32"), "3")])
def test_a_bzimage_runs(pvisor: Pvisor, vmlinuz: Path, options: tuple[str, ...], mark: str) -> None:
    said = pvisor("run", vmlinuz, *options)
    assert (said.status, said.out[0], said.err) == (1, mark, "")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--entry", "pvh"), "says of no payload"),
        (("--entry", "multiboot"), "no Multiboot header"),
        (("--memory", "8M"), "needs at least 20608K of memory"),
        (("--cmdline", "x" * 2048), "at most 2047"),
        (("--mode", "para"), "no paravirtual guest"),
    ],
)
def test_what_a_bzimage_is_refused_for(
    pvisor: Pvisor, vmlinuz: Path, options: tuple[str, ...], words: str
) -> None:
    said = pvisor("run", vmlinuz, *options)
    assert said.status != 0 and said.out == "" and words in said.err and said.err.count("\n") == 1


def test_an_entry_is_for_pc_kernels(pvisor: Pvisor, guests: Shelf) -> None:
    said = pvisor("run", guests("hello", "para"), "--entry", "pvh")
    assert said.status != 0 and "--entry pvh: for PC kernels" in said.err
    assert pvisor("run", guests("hello", "full"), "--entry", "pvh").status == 0


def test_inspect(pvisor: Pvisor, vmlinuz: Path) -> None:
    said = pvisor("inspect", vmlinuz)
    assert said.status == 0
    for words in ("Linux bzImage, boot protocol 2.15, 64-bit entry (mode full)", "0x1000200", "0x1000000"):
        assert words in said.out
    assert "a bzImage does not say what in it is code" in pvisor("inspect", "--sensitive", vmlinuz).err
