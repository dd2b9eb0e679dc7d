# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot modules: read in order, within bounds, or refused in one line that names the option and the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pvisor.errors import UsageError
from pvisor.machine.modules import Module, ModuleFile, read_modules


def test_modules_are_read_in_their_order(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"1" * 10)
    two.write_bytes(b"")
    read = read_modules([ModuleFile(one, "a=b c"), ModuleFile(two), ModuleFile(one, "\udcff")], 20)
    names = [os.fsencode(one), os.fsencode(two), os.fsencode(one)]
    assert read == (
        Module(names[0], b"a=b c", b"1" * 10), Module(names[1], b"", b""),
        Module(names[2], b"\xff", b"1" * 10),
    )  # fmt: skip
    assert read_modules([], 0) == ()


def refusal(file: ModuleFile, max_bytes: int = 1000) -> str:
    """Why a module is refused."""
    with pytest.raises(UsageError) as refused:
        read_modules([file], max_bytes)
    text = str(refused.value)
    assert text.startswith(f"{file.option} {file.path}: ") and "\n" not in text
    return text


def test_files_that_will_not_do(tmp_path: Path) -> None:
    assert "no such file" in refusal(ModuleFile(tmp_path / "none"))
    assert "a folder" in refusal(ModuleFile(tmp_path, option="--initrd"))
    assert "a device" in refusal(ModuleFile(Path("/dev/zero")))
    os.mkfifo(tmp_path / "pipe")
    assert "a pipe" in refusal(ModuleFile(tmp_path / "pipe"))
    (tmp_path / "file").write_bytes(b"x")
    assert "cannot be read" in refusal(ModuleFile(tmp_path / "file" / "below"))
    assert "cannot be read" in refusal(ModuleFile(Path("with\0nul")))


def test_files_that_are_too_large(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * 600)
    with pytest.raises(UsageError, match=r"600 bytes do not fit .* more --memory"):
        read_modules([ModuleFile(path), ModuleFile(path)], 1000)
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    assert "do not fit" in refusal(ModuleFile(path))


def test_arguments_that_are_too_long(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    assert "at most 4095" in refusal(ModuleFile(path, "x" * 4096))
    assert "NUL" in refusal(ModuleFile(path, "a\0b"))
