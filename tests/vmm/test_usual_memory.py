# SPDX-License-Identifier: GPL-2.0-or-later
"""How much memory a guest has when nobody says: by the size of its kernel's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.vmm.config import DomainConfig

MIB = 1 << 20


@pytest.mark.parametrize(
    ("file_bytes", "memory_bytes"), [(1, 64 * MIB), (8 * MIB - 1, 64 * MIB), (8 * MIB, 256 * MIB)]
)
def test_an_operating_system_has_more(tmp_path: Path, file_bytes: int, memory_bytes: int) -> None:
    kernel = tmp_path / "kernel"
    with kernel.open("wb") as file:
        file.truncate(file_bytes)
    assert DomainConfig(kernel).memory_bytes == memory_bytes


def test_a_file_that_is_not_there_is_a_matter_of_its_reader(tmp_path: Path) -> None:
    assert DomainConfig(tmp_path / "none").memory_bytes == 64 * MIB


def test_what_is_said_holds(tmp_path: Path) -> None:
    assert DomainConfig(tmp_path / "none", memory_bytes=MIB).memory_bytes == MIB
