# SPDX-License-Identifier: GPL-2.0-or-later
"""`pvisor run --disk`: what will not do is refused in one line before the guest runs; nothing is harmed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.machine.disk import DiskImage
from tests.cli.support import Pvisor, Said
from tests.guests.shelf import Shelf


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(8192))
    return path


def refused(said: Said, *words: str) -> None:
    """Check the form of a refusal."""
    assert (said.status, said.out) == (125, ""), said
    assert said.err.startswith("pvisor: ") and said.err.count("\n") == 1, said.err
    for word in words:
        assert word in said.err


@pytest.mark.parametrize("suffix", ["", ",ro"])
def test_a_guest_with_a_disk(pvisor: Pvisor, guests: Shelf, image: Path, suffix: str) -> None:
    said = pvisor("run", guests("hello", "full"), "--disk", f"{image}{suffix}")
    assert (said.status, said.err) == (0, "")
    assert image.read_bytes() == bytes(8192)


def test_files_that_will_not_do(pvisor: Pvisor, guests: Shelf, image: Path, tmp_path: Path) -> None:
    elf = guests("hello", "full")
    odd = tmp_path / "odd"
    odd.write_bytes(bytes(700))
    refused(pvisor("run", elf, "--disk", tmp_path / "nowhere"), "nowhere", "no such file")
    refused(pvisor("run", elf, "--disk", tmp_path), "a folder")
    refused(pvisor("run", elf, "--disk", "/dev/null"), "/dev/null")
    refused(pvisor("run", elf, "--disk", odd), "truncate -s 1024")
    refused(pvisor("run", elf, "--disk", ",ro"), "names no file")
    refused(pvisor("run", elf, "--disk", image, "--disk", image), "one drive")


def test_a_paravirtual_guest_has_several(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    images = [tmp_path / f"{i}.img" for i in range(3)]
    for path in images:
        path.write_bytes(bytes(8192))
    options = [word for path in images for word in ("--disk", path)]
    assert pvisor("run", guests("hello", "para"), *options).status == 0
    refused(pvisor("run", guests("hello", "para"), *options, "--disk", images[0]), "in use")


def test_a_disk_in_use(pvisor: Pvisor, guests: Shelf, image: Path) -> None:
    disk = DiskImage(image)
    refused(pvisor("run", guests("hello", "full"), "--disk", image), str(image), "in use")
    refused(pvisor("run", guests("hello", "full"), "--disk", f"{image},ro"), "in use")
    disk.close()


@pytest.mark.parametrize("option", ["--stats", "--trace"])
def test_the_disk_is_not_overwritten(pvisor: Pvisor, guests: Shelf, image: Path, option: str) -> None:
    refused(pvisor("run", guests("hello", "full"), "--disk", image, option, image), "would be overwritten")
    assert image.read_bytes() == bytes(8192)
