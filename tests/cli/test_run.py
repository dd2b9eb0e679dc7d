# SPDX-License-Identifier: GPL-2.0-or-later
"""`pvisor run`: console, input, exit statuses and the line about the end."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pvisor.toolchain.demos import find_demo
from tests.cli.support import Pvisor, command, environment, process
from tests.guests.shelf import Shelf

MODES = ("full", "para")
TIERS = ("native", "python")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("tier", TIERS)
def test_hello_says_what_its_lab_sheet_expects(pvisor: Pvisor, guests: Shelf, mode: str, tier: str) -> None:
    expected = find_demo("hello").expected
    assert expected is not None
    said = pvisor("run", guests("hello", mode), "--tier", tier)
    assert (said.status, said.out, said.err) == (0, expected.read_text("utf-8"), "")


@pytest.mark.parametrize("transport", ["syscall", "vmcall", "int"])
def test_every_transport_carries_hello(pvisor: Pvisor, guests: Shelf, transport: str) -> None:
    said = pvisor("run", guests("hello", "para"), "--transport", transport, "--debug-abi")
    assert said.status == 0 and said.out.endswith("Goodbye.\n")


def test_a_vmcall_of_its_own_works_where_it_is_offered(pvisor: Pvisor, guests: Shelf) -> None:
    said = pvisor("run", guests("raw_vmcall", "para"), "--transport", "vmcall")
    assert (said.status, said.out) == (0, "raw VMCALL\nresult: 0\n")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("status", "expected"), [(0, 0), (1, 3), (2, 5), (61, 123), (128, 1)])
def test_the_status_is_the_guests(
    pvisor: Pvisor, guests: Shelf, mode: str, status: int, expected: int
) -> None:
    said = pvisor("run", guests("exit_status", mode), "--cmdline", str(status))
    assert (said.status, said.err) == (expected, "")


@pytest.mark.parametrize("mode", MODES)
def test_what_the_guest_is_told(pvisor: Pvisor, guests: Shelf, mode: str) -> None:
    said = pvisor("run", guests("environment", mode), "--cmdline", "one two", "--memory", "32M")
    assert said.status == 0
    assert "command line: 'one two'\n" in said.out and "memory: about 32 MiB\n" in said.out


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("guest", "options", "status", "line"),
    [
        ("halt", [], 124, "pvisor: the guest waits, and nothing can wake it\n"),
        ("endless", ["--max-insns", "100000"], 124, "(--max-insns)\n"),
        ("endless", ["--timeout", "0.2"], 124, "(--timeout)\n"),
    ],
)
def test_an_end_that_is_not_the_guests_own_is_said_in_one_line(
    pvisor: Pvisor, guests: Shelf, mode: str, guest: str, options: list[str], status: int, line: str
) -> None:
    said = pvisor("run", guests(guest, mode), *options)
    assert said.status == status
    assert said.err.startswith("pvisor: ") and said.err.endswith(line) and said.err.count("\n") == 1
    assert said.out in ("waiting\n", "for ever\n")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("text", [b"hello\n", b"x" * 130 + b"\n", b"\xc3\xa4\x00\xff\n"])
def test_stdin_goes_to_the_guest(guests: Shelf, mode: str, text: bytes) -> None:
    done = process(["run", guests("echo", mode)], input=text)
    heard = text[:-1][:128].split(b"\0")[0]
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"you said: " + heard + b"\n"


def test_the_module_and_the_function_are_one_command(guests: Shelf) -> None:
    done = process(["run", guests("exit_status", "para"), "--cmdline", "4"])
    assert (done.returncode, done.stdout, done.stderr) == (9, b"", b"")


@pytest.mark.parametrize("mode", MODES)
def test_nobody_reads_the_output_any_more(guests: Shelf, mode: str) -> None:
    child = subprocess.Popen(
        command("run", guests("chatter", mode)), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL, env=environment(),
    )  # fmt: skip
    assert child.stdout is not None and child.stderr is not None
    assert child.stdout.read(18) == b"and another thing\n"
    child.stdout.close()
    assert child.wait(60) == 130
    assert child.stderr.read() == b""
    child.stderr.close()


def test_started_without_stdin_and_stdout(guests: Shelf, tmp_path: Path) -> None:
    """Files that are opened later get the numbers 0 and 1: the guest must neither read nor write them."""
    stats, trace = tmp_path / "stats", tmp_path / "trace"
    words = command("run", guests("hello", "para"), "--stats", stats, "--trace", trace)
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&-', "sh", *words],
        stderr=subprocess.PIPE, timeout=60, env=environment(), check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert stats.read_bytes().startswith(b'{\n  "schema"') and b"Hello" not in trace.read_bytes()


def test_a_slow_reader_gets_every_byte(guests: Shelf) -> None:
    """A pipe that is full, and that does not wait, is waited for."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    words = command("run", guests("chatter", "para"), "--max-insns", "3000000")
    with subprocess.Popen(
        words, stdout=write_end, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=environment()
    ) as child:
        os.close(write_end)
        with os.fdopen(read_end, "rb") as file:
            text = file.read()
        assert child.wait(60) == 124
    assert len(text) > 65536 and text == b"and another thing\n" * (len(text) // 18)


def test_what_run_does_not_import(guests: Shelf) -> None:
    """Start-up time: the parts that a plain run has no use for stay out."""
    script = (
        "import sys; from pvisor.cli import main; status = main(sys.argv[1:]);"
        "print([name for name in ('rich', 'msgpack', 'unicorn', 'pvisor.toolchain', 'pvisor.observe.compare')"
        " if name in sys.modules], file=sys.stderr)"
    )
    words = command("run", guests("hello", "para"))
    words[1:3] = ["-c", script]
    done = subprocess.run(words, capture_output=True, timeout=60, env=environment(), check=False)
    assert done.stderr == b"[]\n"


def test_a_trace_says_which_cpu_and_seed_it_had(pvisor: Pvisor, guests: Shelf, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    said = pvisor("run", guests("hello", "full"), "--trace", trace, "--cpu", "nehalem", "--seed", "5")
    assert said.status == 0, said
    assert b"nehalem" in trace.read_bytes() and b"seed" in trace.read_bytes()
    assert pvisor("run", guests("hello", "full"), "--trace", trace).status == 0
    assert b"\xa3cpu" not in trace.read_bytes() and b"seed" not in trace.read_bytes()


def test_cpu_help_tells_what_there_is(pvisor: Pvisor) -> None:
    said = pvisor("run", "nowhere", "--cpu", "help")
    assert (said.status, said.err) == (0, "")
    for word in ("westmere", "sandybridge", "pcid, xsave", "avx "):
        assert word in said.out
