# SPDX-License-Identifier: GPL-2.0-or-later
"""Ctrl-C and SIGTERM end a run with status 130, and a terminal is left as it was found."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import termios
import time
from pathlib import Path

import pytest

from tests.cli.support import command, environment
from tests.cli.terminal import terminal
from tests.guests.shelf import Shelf

MODES = ("full", "para")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_an_endless_guest(
    guests: Shelf, tmp_path: Path, mode: str, number: signal.Signals
) -> None:
    stats = tmp_path / "stats.json"
    with subprocess.Popen(
        command("run", guests("endless", mode), "--stats", stats),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    ) as child:  # fmt: skip
        assert child.stdout is not None and child.stderr is not None
        assert child.stdout.readline() == b"for ever\n"
        child.send_signal(number)
        assert child.wait(60) == 130
        assert child.stderr.read() == b"pvisor: interrupted\n"
    facts = json.loads(stats.read_text("utf-8"))
    assert (facts["ended_by"], facts["status"]) == ("interrupted", 130)
    assert facts["instructions"] > 0


def test_a_signal_ends_a_guest_whose_reader_sleeps(guests: Shelf) -> None:
    """The pipe is full, so pvisor waits in its console; it must hear the signal there, too."""
    with subprocess.Popen(
        command("run", guests("chatter", "para")),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    ) as child:  # fmt: skip
        assert child.stdout is not None
        _wait_until_full(child.stdout.fileno())
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 130


def _wait_until_full(fd: int) -> None:
    """Until no byte has come for a while."""
    before, deadline = -1, time.monotonic() + 30
    while time.monotonic() < deadline:
        waiting = int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), "little")
        if waiting == before > 0:
            return
        before = waiting
        time.sleep(0.3)
    raise AssertionError("the pipe does not fill")


def test_compare_can_be_interrupted(guests: Shelf) -> None:
    source = Path(__file__).parents[1] / "guests" / "endless.c"
    with subprocess.Popen(
        command("compare", source, "--no-floors"),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    ) as child:  # fmt: skip
        time.sleep(1.5)  # building has no sign by which to tell; either side of it must end alike
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 130
        assert child.stderr is not None
        assert child.stderr.read() == b"pvisor: interrupted\n"


@pytest.mark.parametrize("mode", MODES)
def test_keys_go_to_the_guest_and_only_there(guests: Shelf, mode: str) -> None:
    with terminal("run", guests("echo", mode)) as it:
        it.wait_for_keys_as_typed()
        it.type(b"hi\x1c\n")  # Ctrl-\ is a key like others
        it.read_until(b"you said: hi\x1c\r\n")
        assert it.child.wait(30) == 0
        assert it.text == b"you said: hi\x1c\r\n", "nothing was echoed"
        assert termios.tcgetattr(it.slave) == it.before


@pytest.mark.parametrize("mode", MODES)
def test_ctrl_c_on_a_terminal(guests: Shelf, mode: str) -> None:
    with terminal("run", guests("endless", mode)) as it:
        it.read_until(b"for ever\r\n")
        it.wait_for_keys_as_typed()
        it.type(b"\x03")
        assert it.child.wait(30) == 130
        it.read_until(b"pvisor: interrupted\r\n")
        assert termios.tcgetattr(it.slave) == it.before


@pytest.mark.parametrize(
    ("guest", "options", "status"),
    [
        ("halt", [], 124),
        ("endless", ["--max-insns", "100000"], 124),
        ("crash", [], 134),
        ("exit_status", ["--cmdline", "1"], 3),
        ("exit_status", ["--memory", "1M"], 126),
    ],
)
def test_the_terminal_is_put_back_however_it_ends(
    guests: Shelf, guest: str, options: list[str], status: int
) -> None:
    with terminal("run", guests(guest, "para"), *options) as it:
        assert it.child.wait(30) == status
        assert termios.tcgetattr(it.slave) == it.before


def test_sigterm_on_a_terminal(guests: Shelf) -> None:
    with terminal("run", guests("endless", "full")) as it:
        it.read_until(b"for ever\r\n")
        it.child.terminate()
        assert it.child.wait(30) == 130
        assert termios.tcgetattr(it.slave) == it.before
