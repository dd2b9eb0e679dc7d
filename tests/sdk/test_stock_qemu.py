# SPDX-License-Identifier: GPL-2.0-or-later
"""A full guest is an ordinary PC kernel: a stock QEMU runs it, with the promised output and status."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pvisor.toolchain.build import build_guest
from pvisor.toolchain.demos import Demo, list_demos
from tests.full.station import CARD
from tests.guests import elves

pytestmark = pytest.mark.needs_qemu

QEMU = (
    "qemu-system-x86_64 -accel tcg -m 64 -display none -serial stdio -monitor none -nodefaults -no-reboot "
    "-device isa-debug-exit,iobase=0xf4,iosize=4 -kernel"
)


def run(elf: Path, cmdline: str = "", stdin: bytes = b"") -> tuple[int, bytes]:
    """Exit status and console output."""
    command = [*QEMU.split(), str(elf), *(["-append", cmdline] if cmdline else [])]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=60)
    assert done.stderr == b""
    return done.returncode, done.stdout


def run_demo(demo: Demo, elf: Path, folder: Path) -> tuple[int, bytes]:
    """A demo with what it needs. It is given its input when it asks for it, by a line that says "Type"."""
    command = [*QEMU.split(), str(elf)]
    if demo.disk_bytes:
        with (folder / "disk.img").open("wb") as file:
            file.truncate(demo.disk_bytes)
        command += ["-drive", f"file={folder / 'disk.img'},format=raw,if=ide"]
    if demo.net:
        command += f"-netdev hubport,id=n0,hubid=0 {CARD}".split()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        output = b""
        try:
            if demo.input is not None:
                while b"Type" not in output:
                    output += process.stdout.readline()
                process.stdin.write(demo.input.read_bytes())
                process.stdin.flush()
            output += process.stdout.read()
            return process.wait(60), output
        finally:
            process.kill()


@pytest.mark.parametrize(
    "demo", [demo for demo in list_demos() if "full" in demo.modes], ids=lambda demo: demo.name
)
def test_demos_print_what_they_should(demo: Demo, tmp_path: Path) -> None:
    elf = build_guest(demo.sources_for("full"), tmp_path / "demo.elf", "full").path
    assert demo.expected is not None
    assert run_demo(demo, elf, tmp_path) == (0, demo.expected.read_bytes())


@pytest.mark.parametrize("status", [0, 1, 2, 127, 128, 255, 256])
def test_exit_status(status: int, tmp_path: Path) -> None:
    elf = elves.build("exit_status", "full", tmp_path)
    assert run(elf, str(status)) == ((status << 1 | 1) & 255 if status else 0, b"")


def test_what_a_guest_is_told(tmp_path: Path) -> None:
    elf = elves.build("environment", "full", tmp_path)
    status, output = run(elf, "some words  and=more")
    assert status == 0
    assert output.decode() == (
        "command line: 'some words  and=more'\nmemory: about 64 MiB\ntime goes on: yes\nten tenths: 1\n"
        "free memory: 42\n"
    )


def test_compute(tmp_path: Path) -> None:
    assert run(elves.build("compute", "full", tmp_path), "1000 2") == (
        0,
        b"primes below 1000: 168, checksum 9527f73d\n",
    )


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("jump_null", b"jumping to 0\n"),
        ("stack_overflow", b"writing below the stack\n"),
        ("wild_pointer", b"writing from nowhere\n"),
        ("null_read", b""),
        ("write_text", b"writing to code\n"),
        ("run_data", b"running data\n"),
        ("raw_vmcall", b"raw VMCALL\n"),
        ("triple_fault", b"triple fault\n"),
        ("crash", b"this guest gives up\n"),
    ],
)
def test_a_bad_guest_gets_no_further(name: str, output: bytes, tmp_path: Path) -> None:
    assert run(elves.build(name, "full", tmp_path))[1] == output
