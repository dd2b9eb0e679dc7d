# SPDX-License-Identifier: GPL-2.0-or-later
"""A hybrid guest says by a note what it is: it runs so without `--mode`, and is refused in other modes."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pvisor.emu.vcpu import lane_works
from pvisor.toolchain.demos import find_demo
from tests.cli.support import Pvisor
from tests.guests import elves
from tests.guests.shelf import Shelf
from tests.qemu import pc

NAME = b"pvisor\0\0"
ADVICE = "this kernel needs pvisor for its I/O: pvisor run --mode hybrid\n"


def without_note(elf: Path, output: Path) -> Path:
    """The same kernel, which says nothing."""
    data = elf.read_bytes()
    assert data.count(NAME) == 1
    output.write_bytes(data.replace(NAME, b"nobody\0\0"))
    return output


def test_the_file_says_the_mode(pvisor: Pvisor, guests: Shelf) -> None:
    expected = find_demo("hello").expected
    assert expected is not None
    said = pvisor("run", guests("hello", "hybrid"))
    assert (said.status, said.out, said.err) == (0, expected.read_text("utf-8"), "")


@pytest.mark.parametrize("mode", ["full", "emu", "para"])
def test_another_mode_is_refused(pvisor: Pvisor, guests: Shelf, mode: str) -> None:
    elf = guests("hello", "hybrid")
    said = pvisor("run", elf, "--mode", mode)
    assert (said.status, said.out) == (126, "")
    assert said.err == (
        f"pvisor: {elf}: a PC kernel that needs the hypervisor for its I/O, which it does not find in mode "
        f"{mode}; give --mode hybrid, or no --mode\n"
    )


def test_up_takes_it_as_well(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    setup = tmp_path / "up.toml"
    setup.write_text(f'[domain.one]\nkernel = "{guests("hello", "hybrid")}"\n')
    said = pvisor("up", setup)
    assert said.status == 0 and "Goodbye." in said.out
    setup.write_text(f'[domain.one]\nkernel = "{guests("hello", "hybrid")}"\nmode = "full"\n')
    said = pvisor("up", setup)
    assert said.status == 126 and "[domain.one]" in said.err and "give mode hybrid" in said.err


@pytest.mark.parametrize(
    ("abi_version", "needed", "why"),
    [(2, 0, "needs version 2 of the ABI"), (1, 1 << 40, "number 40"), (1, 1 << 4, "BALLOON")],
)
def test_what_its_note_asks_for_is_checked(
    pvisor: Pvisor, guests: Shelf, tmp_path: Path, abi_version: int, needed: int, why: str
) -> None:
    data = bytearray(guests("hello", "hybrid").read_bytes())
    struct.pack_into("<IIQ", data, data.index(NAME) + len(NAME), abi_version, 0, needed)
    elf = tmp_path / "needs.elf"
    elf.write_bytes(data)
    said = pvisor("run", elf)
    assert said.status == 126 and why in said.err and said.err.count("\n") == 1


@pytest.mark.parametrize("mode", ["full", "emu"])
def test_a_kernel_that_finds_nobody_says_what_to_do(
    pvisor: Pvisor, guests: Shelf, tmp_path: Path, mode: str
) -> None:
    if mode == "emu" and not lane_works():
        pytest.skip("the control lane needs Unicorn 2.1.4 on Linux")
    elf = without_note(guests("hello", "hybrid"), tmp_path / "silent.elf")
    said = pvisor("run", elf, "--mode", mode)
    assert (said.status, said.out) == (3, ADVICE)
    assert pvisor("run", elf, "--mode", "hybrid").status == 0, "it may be asked for, all the same"


@pytest.mark.needs_qemu
def test_a_pc_without_pvisor_says_so_too(tmp_path: Path) -> None:
    assert pc.run(elves.build("halt", "hybrid", tmp_path)) == (3, ADVICE.encode())
