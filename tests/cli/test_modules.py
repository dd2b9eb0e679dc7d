# SPDX-License-Identifier: GPL-2.0-or-later
"""`--initrd` and `--module`: what the guest gets, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import Pvisor
from tests.guests.shelf import Shelf
from tests.qemu import pc


@pytest.mark.needs_gcc
def test_the_initrd_is_the_first_module(pvisor: Pvisor, tmp_path: Path) -> None:
    elf = pc.build("boot", 32, tmp_path)
    for name in ("initrd", "a", "b"):
        (tmp_path / name).write_bytes(name.encode())
    said = pvisor("run", elf, "--module", f"{tmp_path}/a=x=1 y", "--initrd", tmp_path / "initrd",
                  "--module", tmp_path / "b")  # fmt: skip
    assert (said.status, said.err) == (1, "")
    lines = [line for line in said.out.splitlines() if "module" in line or "arguments" in line]
    assert lines == [
        "modules: 0x3", "module of: 0x6", "  arguments: []", "module of: 0x1", "  arguments: [x=1 y]",
        "module of: 0x1", "  arguments: []",
    ]  # fmt: skip


@pytest.mark.parametrize("option", ["--initrd", "--module"])
def test_refusals(pvisor: Pvisor, guests: Shelf, tmp_path: Path, option: str) -> None:
    (tmp_path / "large").write_bytes(bytes(3 << 20))
    for mode, path, words in (
        ("full", tmp_path / "none", "no such file"),
        ("full", tmp_path, "a folder"),
        ("full", tmp_path / "large", "more --memory"),
        ("para", tmp_path / "large", "only a PC kernel"),
    ):
        said = pvisor("run", guests("hello", mode), "--memory", "4M", option, path)
        assert (said.status, said.out, said.err.count("\n")) == (125, "", 1), said
        assert words in said.err
    assert pvisor("run", guests("hello", "full"), "--module", "=args").status == 125


@pytest.mark.needs_gcc
def test_inspect_shows_how_a_kernel_starts(pvisor: Pvisor, tmp_path: Path) -> None:
    elf = pc.build_source(pc.GUESTS / "boot.c", 32, tmp_path, ["MULTIBOOT=3"])
    assert "started by Multiboot (mode full)" in pvisor("inspect", elf).out
