# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad input: one line on stderr, the documented status, nothing on stdout, never a traceback."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from tests.cli.support import Pvisor, command, environment, refused
from tests.guests import elves
from tests.guests.shelf import Shelf

AARCH64 = 183


def test_missing_file(pvisor: Pvisor, tmp_path: Path) -> None:
    refused(pvisor("run", tmp_path / "nowhere"), 125, "no such file")


def test_folder(pvisor: Pvisor, tmp_path: Path) -> None:
    refused(pvisor("run", tmp_path), 125, "a folder")


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fEL", b"\x7fELF", b"\x7fELF" + bytes(100)])
def test_no_elf_file(pvisor: Pvisor, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "guest"
    path.write_bytes(content)
    refused(pvisor("run", path), 126, str(path))


@pytest.mark.parametrize("mode", ["full", "para"])
def test_truncated_elf(pvisor: Pvisor, guests: Shelf, tmp_path: Path, mode: str) -> None:
    """Cut anywhere: refused, unless all that is to be loaded is still there."""
    content = guests("hello", mode).read_bytes()
    path = tmp_path / "cut.elf"
    for n_bytes in [16, 63, 64, 100, *range(500, len(content), len(content) // 25)]:
        path.write_bytes(content[:n_bytes])
        said = pvisor("run", path)
        if said.status != 0:
            refused(said, 126, str(path))
        else:
            assert said.out.endswith("Goodbye.\n") and n_bytes > len(content) // 10


@pytest.mark.parametrize("mode", ["full", "para"])
def test_damaged_headers(pvisor: Pvisor, guests: Shelf, tmp_path: Path, mode: str) -> None:
    """Any byte of the headers changed: some documented status, and never a traceback."""
    content = guests("hello", mode).read_bytes()
    chance = random.Random(mode)
    path = tmp_path / "damaged.elf"
    for at in range(4, 64 + 56 * 5):
        damaged = bytearray(content)
        damaged[at] ^= chance.randrange(1, 256)
        path.write_bytes(damaged)
        said = pvisor("run", path, "--max-insns", "200000")
        assert said.status in (0, 124, 125, 126, 134), (at, said)
        assert "Traceback" not in said.err


def test_other_machine(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    path = elves.for_machine(guests("hello", "para"), tmp_path / "arm.elf", AARCH64)
    refused(pvisor("run", path), 126, "AArch64")


def test_newer_abi(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    path = elves.with_note(guests("hello", "para"), tmp_path / "newer.elf", abi_version=2)
    refused(pvisor("run", path), 126, "ABI", "2")


def test_unknown_feature(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    path = elves.with_note(guests("hello", "para"), tmp_path / "needy.elf", needed_features=1 << 40)
    refused(pvisor("run", path), 126)


def test_feature_of_another_transport(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    path = elves.with_note(guests("hello", "para"), tmp_path / "vmcall.elf", needed_features=1)
    refused(pvisor("run", path), 126, "--transport vmcall offers RAW_VMCALL")
    assert pvisor("run", path, "--transport", "vmcall").status == 0


def test_writable_code(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    path = elves.with_writable_code(guests("hello", "para"), tmp_path / "wx.elf")
    refused(pvisor("run", path), 126)


@pytest.mark.parametrize(("made_for", "mode"), [("full", "para"), ("para", "full")])
def test_wrong_mode(pvisor: Pvisor, guests: Shelf, made_for: str, mode: str) -> None:
    refused(pvisor("run", guests("hello", made_for), "--mode", mode), 126)


@pytest.mark.parametrize("size", ["1000000G", "999999999999T", "4K", "0", "1000001"])
def test_memory_that_will_not_do(pvisor: Pvisor, guests: Shelf, size: str) -> None:
    refused(pvisor("run", guests("hello", "para"), "--memory", size), 125, "--memory")


@pytest.mark.parametrize("mode", ["full", "para"])
def test_memory_too_small_for_the_kernel(pvisor: Pvisor, guests: Shelf, mode: str) -> None:
    refused(pvisor("run", guests("hello", mode), "--memory", "1M"), 126)


@pytest.mark.parametrize("mode", ["full", "para"])
def test_command_line_too_long(pvisor: Pvisor, guests: Shelf, mode: str) -> None:
    refused(pvisor("run", guests("hello", mode), "--cmdline", "x" * 5000), 125, "--cmdline")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--frobnicate"],
        ["{elf}", "{elf}"],
        ["{elf}", "--mode", "hybrid-ish"],
        ["{elf}", "--tier", "silver"],
        ["{elf}", "--transport", "pigeon"],
        ["{elf}", "--memory", "lots"],
        ["{elf}", "--memory", "-1"],
        ["{elf}", "--memory"],
        ["{elf}", "--max-insns", "0"],
        ["{elf}", "--max-insns", "99999999999999999999"],
        ["{elf}", "--max-insns", "ten"],
        ["{elf}", "--timeout", "0"],
        ["{elf}", "--timeout", "nan"],
        ["{elf}", "--timeout", "inf"],
        ["{elf}", "--timeout", "1e300"],
        ["{elf}", "--timeout", "soon"],
        ["{elf}", "--epoch", "tomorrow"],
        ["{elf}", "--epoch", "1969-12-31"],
        ["{elf}", "--epoch", "2026-13-01"],
        ["{elf}", "--trace-host"],
    ],
)
def test_wrong_options(pvisor: Pvisor, guests: Shelf, words: list[str]) -> None:
    elf = str(guests("hello", "para"))
    refused(pvisor("run", *(word.replace("{elf}", elf) for word in words)), 125, "(see `pvisor run --help`)")


@pytest.mark.parametrize("option", ["--stats", "--trace"])
def test_files_that_cannot_be_written(pvisor: Pvisor, guests: Shelf, tmp_path: Path, option: str) -> None:
    elf = guests("hello", "para")
    for path in (tmp_path / "no" / "folder", tmp_path):
        refused(pvisor("run", elf, option, path), 125, option, str(path))
    before = elf.read_bytes()
    refused(pvisor("run", elf, option, elf), 125, option)
    assert elf.read_bytes() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("option", ["--stats", "--trace"])
def test_a_full_disk(pvisor: Pvisor, guests: Shelf, option: str) -> None:
    said = pvisor("run", guests("hello", "para"), option, "/dev/full")
    assert said.status == 125 and said.err.count("\n") == 1 and "no space left" in said.err


def test_one_file_for_two_purposes(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    path = tmp_path / "both"
    refused(pvisor("run", guests("hello", "para"), "--stats", path, "--trace", path), 125, "--stats")
    assert not path.exists()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["frobnicate"], "frobnicate"),
        (["-x"], "-x"),
        (["-v"], "--version"),
        (["abi", "CONSOLE_RITE"], "did you mean CONSOLE_WRITE?"),
        (["abi", "0x7f"], "0x7f"),
        (["inspect", "/nowhere/at/all"], "no such file"),
        (["inspect"], "ELF"),
        (["trace"], "ommand"),
        (["trace", "show", "/nowhere/at/all"], "no such file"),
        (["trace", "show", "/"], "irectory"),
        (["compare", "no-such-demo"], "no-such-demo"),
        (["compare", "a.c", "hello"], "hello"),
        (["compare", "/nowhere.c"], "/nowhere.c"),
        (["compare", "hello", "--keep", "/dev/null/x"], "--keep"),
        (["compare", "hello", "--input", "/nowhere"], "--input"),
        (["compare", "hello", "--json", "/nowhere/x"], "--json"),
        (["build", "/nowhere.c", "-o", "/tmp/x", "--mode", "para"], "/nowhere.c"),
        (["build", "x.c", "--mode", "para"], "--output"),
        (["build", "x.c", "-o", "/tmp/x"], "--mode"),
        (["bench", "--json", "/nowhere/x"], "--json"),
    ],
)
def test_other_commands(pvisor: Pvisor, words: list[str], hint: str) -> None:
    refused(pvisor(*words), 125, hint)


@pytest.mark.needs_gcc
def test_a_compiler_error_is_in_the_compilers_words(pvisor: Pvisor, tmp_path: Path) -> None:
    source = tmp_path / "wrong.c"
    source.write_text("int main(void) { return nothing; }\n", "utf-8")
    for words in (["build", source, "-o", tmp_path / "x.elf", "--mode", "full"], ["compare", source]):
        said = pvisor(*words)
        assert (said.status, said.out) == (125, "")
        assert "wrong.c:1:" in said.err and "nothing" in said.err and "Traceback" not in said.err
    assert not (tmp_path / "x.elf").exists()


def test_a_pipe_and_a_device_are_no_guests(pvisor: Pvisor, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        refused(pvisor("run", path), 125, "a pipe or a device")


def test_a_file_far_too_large_is_not_read(pvisor: Pvisor, tmp_path: Path) -> None:
    path = tmp_path / "large.elf"
    with path.open("wb") as file:
        file.truncate(2 << 30)
    refused(pvisor("run", path), 126, "too much")


@pytest.mark.parametrize("mode", ["full", "para"])
def test_a_command_line_that_is_no_text_reaches_the_guest(guests: Shelf, mode: str) -> None:
    said = subprocess.run(
        [*command("run", guests("environment", mode), "--cmdline"), b"\xff\xfe"],
        input=b"", capture_output=True, timeout=60, env=environment(), check=False,
    )  # fmt: skip
    assert (said.returncode, said.stderr) == (0, b"")
    assert b"command line: '\xff\xfe'" in said.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("words", [("run", "GUEST"), ("--help",), ("abi",)])
def test_a_full_disk_is_one_line(guests: Shelf, words: tuple[str, ...]) -> None:
    guest = guests("hello", "full")
    with Path("/dev/full").open("wb") as full:
        said = subprocess.run(
            command(*(guest if word == "GUEST" else word for word in words)),
            stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, timeout=60, env=environment(),
            check=False,
        )  # fmt: skip
    assert said.returncode == 125
    assert said.stderr.count(b"\n") == 1 and b"cannot be written" in said.stderr, said.stderr


def test_a_terminal_without_our_characters(guests: Shelf) -> None:
    plain = {**environment(), "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    said = subprocess.run(command("demos"), capture_output=True, timeout=60, env=plain, check=False)
    assert (said.returncode, said.stderr) == (0, b"")


@pytest.mark.parametrize("cpu", ["", "haswell", "+avx", "nehalem,+xsave", "sandybridge,pcid"])
def test_a_cpu_that_cannot_be_had(pvisor: Pvisor, guests: Shelf, cpu: str) -> None:
    refused(pvisor("run", guests("hello", "full"), "--cpu", cpu), 125, "--cpu ")


def test_a_cpu_for_a_paravirtual_guest(pvisor: Pvisor, guests: Shelf) -> None:
    refused(pvisor("run", guests("hello", "para"), "--cpu", "westmere"), 125, "is for PCs")
