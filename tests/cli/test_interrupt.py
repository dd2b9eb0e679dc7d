# SPDX-License-Identifier: GPL-2.0-or-later
"""Ctrl-C and SIGTERM end a run with status 130, and a terminal is left as it was found."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.support import command, environment
from tests.guests.shelf import Shelf

MODES = ("full", "para")
LFLAG, CC = 3, 6


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


class Terminal:
    """A pvisor on a terminal of its own, as its controlling one."""

    def __init__(self, *words: str | Path) -> None:
        self.master, slave = pty.openpty()
        self.slave = slave
        self.before = termios.tcgetattr(slave)
        self.child = subprocess.Popen(
            command(*words), stdin=slave, stdout=slave, stderr=slave, env=environment(),
            start_new_session=True, preexec_fn=self._control,
        )  # fmt: skip
        self.text = b""

    def _control(self) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)

    def read_until(self, words: bytes) -> None:
        """Wait for words on the screen."""
        deadline = time.monotonic() + 30
        while words not in self.text:
            assert time.monotonic() < deadline, self.text
            if select.select([self.master], [], [], 0.1)[0]:
                self.text += os.read(self.master, 4096)

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.master, keys)

    def close(self) -> None:
        """End all."""
        with contextlib.suppress(ProcessLookupError):
            self.child.kill()
        self.child.wait()
        os.close(self.master)
        os.close(self.slave)


@contextlib.contextmanager
def terminal(*words: str | Path) -> Iterator[Terminal]:
    """A terminal for the time of a test."""
    it = Terminal(*words)
    try:
        yield it
    finally:
        it.close()


@pytest.mark.parametrize("mode", MODES)
def test_keys_go_to_the_guest_and_only_there(guests: Shelf, mode: str) -> None:
    with terminal("run", guests("echo", mode)) as it:
        _wait_for_keys_as_typed(it)
        it.type(b"hi\x1c\n")  # Ctrl-\ is a key like others
        it.read_until(b"you said: hi\x1c\r\n")
        assert it.child.wait(30) == 0
        assert it.text == b"you said: hi\x1c\r\n", "nothing was echoed"
        assert termios.tcgetattr(it.slave) == it.before


def _wait_for_keys_as_typed(it: Terminal) -> None:
    deadline = time.monotonic() + 30
    while termios.tcgetattr(it.slave)[LFLAG] & (termios.ECHO | termios.ICANON):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert termios.tcgetattr(it.slave)[LFLAG] & termios.ISIG


@pytest.mark.parametrize("mode", MODES)
def test_ctrl_c_on_a_terminal(guests: Shelf, mode: str) -> None:
    with terminal("run", guests("endless", mode)) as it:
        it.read_until(b"for ever\r\n")
        _wait_for_keys_as_typed(it)
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
